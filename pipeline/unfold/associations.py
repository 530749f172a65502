"""Rows of sources -> one weight for each entity and concept, by any aggregate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config.sources import Source
from pipeline.config.unfolding import Unfold
from pipeline.exact import EXACT
from pipeline.unfold.fields import Field, in_window, key_of, masks_of, within
from pipeline.unfold.knowledge import start_values, starts_from_many, with_paths
from pipeline.unfold.latest import is_reduced, reduced
from pipeline.unfold.rules import entries_of, has_entries, has_values, value_of, values_of, weight_of

_START = "_start"


DAY = "_day"
"""The date of the event that a value is of; null where it is of no one event."""


def exploded(
    rows_df: DataFrame,
    source: Source,
    fields: Sequence[Field],
    unfold: Unfold,
    triples_df: DataFrame | None,
    days: bool = False,
) -> DataFrame:
    """entity_id, field int, weight, value: a row for each value of an event, all these fields of a source in one pass
    over its rows. Values are neither null nor blank; a weight may be null. days: the column `DAY` too."""
    rows_df = in_window(rows_df, source, unfold)
    more = [DAY] if days else []
    if days:
        timed = source.time is not None and "_time" in rows_df.columns
        rows_df = rows_df.withColumn(DAY, F.to_date("_time") if timed else F.lit(None).cast("date"))
    plain_dfs = explode_parts(rows_df, [field for field in fields if not is_reduced(field)], unfold, triples_df, *more)
    each_dfs = explode_parts(rows_df, [field for field in fields if is_reduced(field)], unfold, triples_df, "_time")
    if each_dfs:
        reduced_df = reduced(reduce(DataFrame.unionByName, each_dfs), fields)
        plain_dfs.append(reduced_df.withColumn(DAY, F.lit(None).cast("date")) if days else reduced_df)
    return reduce(DataFrame.unionByName, plain_dfs)


def explode_parts(
    rows_df: DataFrame, fields: Sequence[Field], unfold: Unfold, triples_df: DataFrame | None, *more: str
) -> list[DataFrame]:
    """entity_id, field, weight, value in parts, and the columns `more` of the event, of all rows there are."""
    if "_time" in more and "_time" not in rows_df.columns:
        rows_df = rows_df.withColumn("_time", F.lit(None).cast("timestamp"))
    listed = [field for field in fields if starts_from_many(rows_df, field.rule)]
    weighted = [field for field in fields if has_entries(field.rule) and field not in listed]
    parts = [_explode_values(rows_df, [field for field in fields if not has_entries(field.rule)], unfold, *more)]
    parts.append(_explode_entries(rows_df, weighted, unfold, triples_df, *more))
    for field in listed:
        one = replace(field, rule=field.rule.model_copy(update={"column": _START, "separator": None}))
        started_df = rows_df.withColumn(_START, F.explode(start_values(rows_df, field.rule)))
        parts.append(_explode_entries(started_df, [one], unfold, triples_df, *more))
    return [part_df for part_df in parts if part_df is not None]


def weighed_pairs(exploded_df: DataFrame, fields: Sequence[Field], seed: int) -> DataFrame:
    """entity_id, field, key, weight double (never 0 or null) from `exploded`.

    The aggregation has two phases: each mapper sums up what it has before the shuffle, so that a key with half of
    all events costs one row a mapper; and groups hold the concept too, so that the events of one entity are spread
    over all reducers. Sums are taken in whole numbers or decimals: the order of rows does not change a bit of them.
    Where `exploded_df` has a column `exact` (decimal), sums are taken of it: what many events weigh together.
    """
    weighing = [field.number for field in fields if field.kind in ("sum", "max")]
    if weighing:
        is_number = F.col("weight").isNotNull() & ~F.isnan("weight")
        exploded_df = exploded_df.where(is_number | ~F.col("field").isin(weighing))
    key = key_of(F.col("field"), F.col("value"), seed).alias("key")
    exact = F.col("exact") if "exact" in exploded_df.columns else F.col("weight").cast(EXACT)
    keyed_df = exploded_df.select("entity_id", "field", key, "weight", exact.alias("exact"))
    summed_df = keyed_df.groupBy("entity_id", "field", "key").agg(_aggregate(fields).alias("weight"))
    # Weights are written as floats; what is zero there is no entry of a sparse vector.
    return summed_df.where(F.col("weight").cast("float") != 0)


def masks_by_entity(pairs_df: DataFrame, own: Sequence[Field], fields: Sequence[Field]) -> DataFrame:
    """entity_id and the masks (fields.py) of `weighed_pairs`, whose fields are `own`."""
    masks = masks_of(fields, {field.number: F.col("field") == field.number for field in own})
    marked_df = pairs_df.select("entity_id", *masks)
    names = marked_df.columns[1:]
    return marked_df.groupBy("entity_id").agg(*(F.bit_or(name).alias(name) for name in names))


def _explode_values(rows_df: DataFrame, fields: Sequence[Field], unfold: Unfold, *more: str) -> DataFrame | None:
    """entity_id, field, weight, value: a row for each value of an event; None for no fields.

    Two generators of Spark, first fields, then values, are compiled code; functions over array elements are not.
    """
    if not fields:
        return None
    each = [
        F.struct(
            F.lit(field.number).alias("field"),
            weight_of(field.rule, unfold).alias("weight"),
            within(field, unfold, _values(rows_df, field, unfold)).alias("values"),
        )
        for field in fields
    ]
    by_field_df = _inlined(rows_df, each, *more)
    exploded_df = by_field_df.select("entity_id", *more, "field", "weight", F.explode("values").alias("value"))
    return _without_blanks(exploded_df, *more)


def _explode_entries(
    rows_df: DataFrame, fields: Sequence[Field], unfold: Unfold, triples_df: DataFrame | None, *more: str
) -> DataFrame | None:
    """The same for fields whose values weigh differently."""
    if not fields:
        return None
    rules = {field.rule.name: field.rule for field in fields}  # once, whatever the number of its windows
    rows_df = with_paths(rows_df, list(rules.values()), triples_df)
    each = [
        F.struct(
            F.lit(field.number).alias("field"),
            weight_of(field.rule, unfold).alias("event"),
            within(field, unfold, entries_of(rows_df, field.source, field.rule)).alias("entries"),
        )
        for field in fields
    ]
    by_field_df = _inlined(rows_df, each, *more)
    exploded_df = by_field_df.select("entity_id", *more, "field", "event", F.inline("entries"))
    weight = F.col("event") * F.col("weight")
    return _without_blanks(exploded_df.select("entity_id", *more, "field", weight.alias("weight"), "value"), *more)


def _inlined(rows_df: DataFrame, each: Sequence[Column], *more: str) -> DataFrame:
    """entity_id, the columns `more` and those of the structs `each`: a row for each of these.

    The array is the last column of what is inlined: Spark remembers by their places which columns it need not keep,
    and of a generator over an expression it forgot to move these when it dropped a column before them.
    """
    arrays_df = rows_df.select(F.col("_entity").alias("entity_id"), *more, F.array(*each).alias("_each"))
    return arrays_df.select("entity_id", *more, F.inline("_each"))


def _values(rows_df: DataFrame, field: Field, unfold: Unfold) -> Column:
    if has_values(field.rule):
        return values_of(rows_df, field.source, field.rule)
    return F.array(value_of(rows_df, field.source, field.rule, unfold))


def _without_blanks(exploded_df: DataFrame, *more: str) -> DataFrame:
    trimmed_df = exploded_df.select("entity_id", *more, "field", "weight", F.trim("value").alias("value"))
    return trimmed_df.where(F.col("value") != "")


def _aggregate(fields: Sequence[Field]) -> Column:
    """The weight by the rule's aggregate; only what some rule asks for is computed."""
    weight = F.col("weight")
    numbers: dict[str, list[int]] = {}
    for field in fields:
        numbers.setdefault(field.kind, []).append(field.number)

    def of(kind: str, value: Column) -> Column:
        return value if len(numbers) == 1 else F.when(F.col("field").isin(numbers[kind]), value)

    aggregates = {
        "count": lambda: F.sum(of("count", weight.cast("long"))).cast("double"),
        "sum": lambda: F.sum(of("sum", F.col("exact"))).cast("double"),
        "max": lambda: F.max(of("max", weight)),
        "binary": lambda: F.max(of("binary", F.lit(1.0))),
    }
    return F.coalesce(*(aggregates[kind]() for kind in sorted(numbers)))
