"""Aggregates whose concept is known only once all events of an entity are seen: `last` and `distinct`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.unfold.fields import Field
from pipeline.unfold.rules import log_rounded

_REDUCED = ("last", "distinct")


def is_reduced(field: Field) -> bool:
    return field.rule.aggregate in _REDUCED


def reduced(each_df: DataFrame, fields: Sequence[Field]) -> DataFrame:
    """entity_id, field, weight, value: one row an entity and field. each_df: the same of every event, and `_time`.

    Both aggregations have two phases, so that an entity with half of all events costs one row (`distinct`: one row a
    value) a mapper.
    """
    ways = {"last": _last, "distinct": _distinct}
    own = {how: [field for field in fields if field.rule.aggregate == how] for how in _REDUCED}
    part_dfs = [ways[how](each_df.where(_is_any(some)), some) for how, some in own.items() if some]
    return reduce(DataFrame.unionByName, part_dfs)


def _last(each_df: DataFrame, fields: Sequence[Field]) -> DataFrame:
    """The value of the latest event; of several at one instant the last in the order of text, then of weight."""
    weighed_df = each_df.where(F.col("weight").isNotNull() & ~F.isnan("weight"))
    latest = F.max(F.struct("_time", "value", "weight")).alias("latest")
    latest_df = weighed_df.groupBy("entity_id", "field").agg(latest)
    return latest_df.select("entity_id", "field", "latest.weight", "latest.value")


def _distinct(each_df: DataFrame, fields: Sequence[Field]) -> DataFrame:
    """How many values, as the concept `base^exponent`."""
    counted_df = each_df.select("entity_id", "field", "value").distinct().groupBy("entity_id", "field").count()
    bases = sorted({field.rule.base for field in fields})
    count = F.col("count").cast("double")
    rounded = F.coalesce(
        *(F.when(_is_any([one for one in fields if one.rule.base == base]), log_rounded(count, base)) for base in bases)
    )
    return counted_df.select("entity_id", "field", F.lit(1.0).alias("weight"), rounded.alias("value"))


def _is_any(fields: Sequence[Field]) -> Column:
    return F.col("field").isin([field.number for field in fields])
