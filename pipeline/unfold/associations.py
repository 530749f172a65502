"""Rows of a source -> one weight for each (entity, field, value)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config.data import Rule, Source, Unfold
from pipeline.unfold.knowledge import start_values, starts_from_many, with_paths
from pipeline.unfold.rules import entries_of, has_entries, values_of, weight_of

_START = "_start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A rule of a source; its concepts are `name=value`."""

    number: int
    source: Source
    rule: Rule

    @property
    def name(self) -> str:
        return f"{self.source.name}.{self.rule.name}"


def fields_of(sources: list[Source]) -> list[Field]:
    """All fields, numbered in the order of the configuration."""
    pairs = [(source, rule) for source in sources for rule in source.rules]
    return [Field(number=number, source=source, rule=rule) for number, (source, rule) in enumerate(pairs)]


def in_window(rows_df: DataFrame, source: Source, unfold: Unfold) -> DataFrame:
    """The rows features come from: those in [start, cutoff); all rows of a static source."""
    if source.time is None:
        return rows_df
    if unfold.start is not None:
        rows_df = rows_df.where(F.col("_time") >= F.lit(unfold.start).cast("timestamp"))
    return rows_df.where(F.col("_time") < F.lit(unfold.cutoff).cast("timestamp"))


def associations(
    rows_df: DataFrame, source: Source, fields: list[Field], unfold: Unfold, triples_df: DataFrame | None
) -> DataFrame:
    """entity_id, field int, value, weight double (never 0 or null): all rules of a source in one pass over its rows.

    The aggregation has two phases: each mapper sums up what it has before the shuffle, so that a key with half of
    all events costs one row a mapper; and keys hold the value too, so that the events of one entity are spread over
    all reducers. Sums are taken in whole numbers or decimals: the order of rows does not change a bit of them.
    """
    own = [field for field in fields if field.source.name == source.name]
    rows_df = in_window(rows_df, source, unfold)
    listed = [field for field in own if starts_from_many(rows_df, field.rule)]
    weighted = [field for field in own if has_entries(field.rule) and field not in listed]
    parts = [_explode_values(rows_df, [field for field in own if not has_entries(field.rule)], unfold)]
    parts.append(_explode_entries(rows_df, weighted, unfold, triples_df))
    for field in listed:
        one = replace(field, rule=field.rule.model_copy(update={"column": _START, "separator": None}))
        started_df = rows_df.withColumn(_START, F.explode(start_values(rows_df, field.rule)))
        parts.append(_explode_entries(started_df, [one], unfold, triples_df))
    exploded_df = reduce(DataFrame.unionByName, [part_df for part_df in parts if part_df is not None])
    if any(_kind(field.rule) in ("sum", "max") for field in own):
        exploded_df = exploded_df.where(F.col("weight").isNotNull() & ~F.isnan("weight"))
    summed_df = exploded_df.groupBy("entity_id", "field", "value").agg(_aggregate(own).alias("weight"))
    # Weights are written as floats; what is zero there is no entry of a sparse vector.
    return summed_df.where(F.col("weight").cast("float") != 0)


def _explode_values(rows_df: DataFrame, fields: Sequence[Field], unfold: Unfold) -> DataFrame | None:
    """entity_id, field, weight, value: a row for each value of an event; None for no fields.

    Two generators of Spark, first fields, then values, are compiled code; functions over array elements are not.
    """
    if not fields:
        return None
    each = [
        F.struct(
            F.lit(field.number).alias("field"),
            weight_of(field.rule, unfold).alias("weight"),
            values_of(rows_df, field.source, field.rule, unfold).alias("values"),
        )
        for field in fields
    ]
    by_field_df = rows_df.select(F.col("_entity").alias("entity_id"), F.inline(F.array(*each)))
    exploded_df = by_field_df.select("entity_id", "field", "weight", F.explode("values").alias("value"))
    return _without_blanks(exploded_df)


def _explode_entries(
    rows_df: DataFrame, fields: Sequence[Field], unfold: Unfold, triples_df: DataFrame | None
) -> DataFrame | None:
    """The same for fields whose values weigh differently."""
    if not fields:
        return None
    rows_df = with_paths(rows_df, [field.rule for field in fields], triples_df)
    each = [
        F.struct(
            F.lit(field.number).alias("field"),
            weight_of(field.rule, unfold).alias("event"),
            entries_of(rows_df, field.source, field.rule).alias("entries"),
        )
        for field in fields
    ]
    by_field_df = rows_df.select(F.col("_entity").alias("entity_id"), F.inline(F.array(*each)))
    exploded_df = by_field_df.select("entity_id", "field", "event", F.inline("entries"))
    weight = F.col("event") * F.col("weight")
    return _without_blanks(exploded_df.select("entity_id", "field", weight.alias("weight"), "value"))


def _without_blanks(exploded_df: DataFrame) -> DataFrame:
    trimmed_df = exploded_df.select("entity_id", "field", "weight", F.trim("value").alias("value"))
    return trimmed_df.where(F.col("value") != "")


def _aggregate(fields: list[Field]) -> Column:
    """The weight by the rule's aggregate; only what some rule asks for is computed."""
    weight = F.col("weight")
    numbers: dict[str, list[int]] = {}
    for field in fields:
        numbers.setdefault(_kind(field.rule), []).append(field.number)

    def of(kind: str, value: Column) -> Column:
        return value if len(numbers) == 1 else F.when(F.col("field").isin(numbers[kind]), value)

    aggregates = {
        "count": lambda: F.sum(of("count", weight.cast("long"))).cast("double"),
        "sum": lambda: F.sum(of("sum", weight.cast("decimal(38,9)"))).cast("double"),
        "max": lambda: F.max(of("max", weight)),
        "binary": lambda: F.max(of("binary", F.lit(1.0))),
    }
    return F.coalesce(*(aggregates[kind]() for kind in sorted(numbers)))


def _kind(rule: Rule) -> str:
    if rule.aggregate is None:
        return "sum" if rule.weight or rule.kind == "map" else "count"
    return "sum" if rule.aggregate == "decay" else rule.aggregate
