"""The common case made fast: fields whose weight is the number of an entity's events with a value.

Events travel as arrays of keys and are brought together by entity once; a sorted array of keys holds each concept as
a run, whose length is its count. Nothing is aggregated by (entity, concept), which is several times as many groups
as there are events. An entity's keys are one array, so all of them must fit: where one has very many events
(see `is_even`) associations.py counts instead, with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config.unfolding import Unfold
from pipeline.unfold.fields import NO_KEY, Field, in_window, key_of, mask_words, masks_of, within
from pipeline.unfold.rules import has_values, value_of, values_of

_MOST_ROWS = 200_000
"""Events of one entity (some tens of MB as keys)."""


def countable(field: Field) -> bool:
    return field.kind == "count" and field.rule.kind not in ("map", "path", "sparql", "sql")


def is_even(excess_rows: int) -> bool:
    """Whether every entity's events can be held; excess_rows: see profile.py."""
    return excess_rows <= _MOST_ROWS


def keys_by_entity(rows: dict[str, DataFrame], fields: Sequence[Field], unfold: Unfold, seed: int) -> DataFrame:
    """entity_id, masks (fields.py), keys array<long> (ascending, with repetitions), starts array<int>: where a run
    of one key begins. `rows`: by source; `fields`: all, of which the countable ones are read."""
    parts = [_keys(rows_df, name, fields, unfold, seed) for name, rows_df in rows.items()]
    masks = [f"_fields_{word}" for word in range(mask_words(fields))]
    all_keys = F.sort_array(F.flatten(F.collect_list("keys"))).alias("keys")
    grouped = reduce(DataFrame.unionByName, parts).groupBy("entity_id")
    grouped_df = grouped.agg(*(F.bit_or(mask).alias(mask) for mask in masks), all_keys).where(F.size("keys") > 0)

    def begins(i: Column) -> Column:
        return (i == 0) | (F.get("keys", i) != F.get("keys", i - 1))

    places = F.sequence(F.lit(0), F.size("keys") - 1)
    return grouped_df.select("entity_id", *masks, "keys", F.filter(places, begins).alias("starts"))


def counted_pairs(keys_df: DataFrame) -> DataFrame:
    """entity_id, key, weight double (how often) of every concept in `keys_by_entity`."""
    each_df = keys_df.select("entity_id", "keys", "starts", F.posexplode("starts").alias("run", "start"))
    end = F.coalesce(F.get("starts", F.col("run") + 1), F.size("keys"))
    pairs_df = each_df.select(
        "entity_id", F.get("keys", "start").alias("key"), (end - F.col("start")).cast("double").alias("weight")
    )
    return pairs_df.where(F.col("key") != NO_KEY)


def _keys(rows_df: DataFrame, source: str, fields: Sequence[Field], unfold: Unfold, seed: int) -> DataFrame:
    """entity_id, masks, keys array<long> of each event of a source."""
    own = [field for field in fields if field.source.name == source and countable(field)]
    rows_df = in_window(rows_df, own[0].source, unfold)
    none = F.array().cast("array<bigint>")
    single = [field for field in own if not has_values(field.rule)]
    multi = [field for field in own if has_values(field.rule)]
    columns = {
        field.number: key_of(F.lit(field.number), within(field, unfold, value), seed)
        for field in single
        for value in [value_of(rows_df, field.source, field.rule, unfold)]
    }
    for field in multi:
        columns[field.number] = F.coalesce(within(field, unfold, _keys_of_values(rows_df, field, seed)), none)
    keyed_df = rows_df.select(
        F.col("_entity").alias("entity_id"), *(column.alias(f"_key_{number}") for number, column in columns.items())
    )
    mark = {field.number: F.col(f"_key_{field.number}") != NO_KEY for field in single}
    mark |= {field.number: F.size(F.array_remove(F.col(f"_key_{field.number}"), NO_KEY)) > 0 for field in multi}
    one_each = F.array(*(F.col(f"_key_{field.number}") for field in single)) if single else none
    keys = F.concat(one_each, *(F.col(f"_key_{field.number}") for field in multi)) if multi else one_each
    return keyed_df.select("entity_id", *masks_of(fields, mark), keys.alias("keys"))


def _keys_of_values(rows_df: DataFrame, field: Field, seed: int) -> Column:
    def key(text: Column) -> Column:
        return key_of(F.lit(field.number), F.when(F.trim(text) != "", F.trim(text)), seed)

    return F.transform(values_of(rows_df, field.source, field.rule), key)
