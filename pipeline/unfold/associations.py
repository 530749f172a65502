"""Rows of a source -> one weight for each (entity, field, value)."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config.data import Rule, Source, Unfold
from pipeline.unfold.knowledge import with_paths
from pipeline.unfold.rules import associations_of


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
    rows_df = with_paths(in_window(rows_df, source, unfold), source, triples_df)
    each = [associations_of(rows_df, source, field.rule, field.number, unfold) for field in own]
    every = F.concat(*each) if len(each) > 1 else each[0]
    exploded_df = rows_df.select(F.col("_entity").alias("entity_id"), F.inline(every))
    return exploded_df.groupBy("entity_id", "field", "value").agg(_aggregate(own).alias("weight"))


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
