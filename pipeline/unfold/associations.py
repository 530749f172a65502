"""Rows of a source -> one weight for each (entity, field, value)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config.data import Rule, Source, Unfold
from pipeline.unfold.knowledge import start_values, starts_from_many, with_paths
from pipeline.unfold.rules import associations_of

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
    """entity_id, field int, value, weight double: the rows of a source in one pass, all rules at once.

    The sum over a heavy (entity, field, value) is partial on each mapper before the shuffle, so a key with half of
    all events costs one row a mapper. Sums are taken in decimals: the order of rows does not change a bit of them.
    """
    own = [field for field in fields if field.source.name == source.name]
    rows_df = in_window(rows_df, source, unfold)
    listed = [field for field in own if starts_from_many(rows_df, field.rule)]
    parts = [_exploded(rows_df, [field for field in own if field not in listed], unfold, triples_df)]
    for field in listed:
        one = replace(field, rule=field.rule.model_copy(update={"column": _START, "separator": None}))
        parts.append(
            _exploded(rows_df.withColumn(_START, start_values(rows_df, field.rule)), [one], unfold, triples_df)
        )
    exploded_df = reduce(DataFrame.unionByName, [part_df for part_df in parts if part_df is not None])
    return exploded_df.groupBy("entity_id", "field", "value").agg(_aggregate(own).alias("weight"))


def _exploded(
    rows_df: DataFrame, fields: list[Field], unfold: Unfold, triples_df: DataFrame | None
) -> DataFrame | None:
    """entity_id, field, value, weight: one row for each event and association; None for no fields."""
    if not fields:
        return None
    rows_df = with_paths(rows_df, [field.rule for field in fields], triples_df)
    each = [associations_of(rows_df, field.source, field.rule, field.number, unfold) for field in fields]
    every = F.concat(*each) if len(each) > 1 else each[0]
    return rows_df.select(F.col("_entity").alias("entity_id"), F.inline(every))


def _aggregate(fields: list[Field]) -> Column:
    """The weight by the rule's aggregate; only the sums that some rule asks for are computed."""
    weight = F.col("weight")
    kinds = {
        "count": lambda: F.sum(weight.cast("long")).cast("double"),
        "sum": lambda: F.sum(weight.cast("decimal(38,9)")).cast("double"),
        "max": lambda: F.max(weight),
        "binary": lambda: F.lit(1.0),
    }
    kind_of = {field.number: _kind(field.rule) for field in fields}
    used = sorted(set(kind_of.values()))
    if len(used) == 1:
        return kinds[used[0]]()
    result: Column | None = None
    for kind in used:
        numbers = [number for number, own in kind_of.items() if own == kind]
        condition = F.col("field").isin(numbers)
        result = F.when(condition, kinds[kind]()) if result is None else result.when(condition, kinds[kind]())
    assert result is not None
    return result


def _kind(rule: Rule) -> str:
    if rule.aggregate is None:
        return "sum" if rule.weight or rule.kind == "map" else "count"
    return "sum" if rule.aggregate == "decay" else rule.aggregate
