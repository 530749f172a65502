"""The common case made fast: fields whose weight is the number of an entity's events with a value.

Events travel as arrays of keys and are brought together by entity once; a sorted array of keys holds each concept as
a run, whose length is its count. Nothing is aggregated by (entity, concept), which is several times as many groups
as there are events. An entity's keys are one array, so all of them must fit: entities that may have very many events
(profile.py: crowded buckets) are counted by associations.py instead, with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config.unfolding import Unfold
from pipeline.unfold.fields import NO_KEY, Field, in_window, key_of, mask_words, masks_of, within
from pipeline.unfold.rules import has_values, value_of, values_of

_KEYS_A_PARTITION = 750_000
_FEWEST_KEYS = 100_000
"""What a partition of its own is worth."""
_NEAR = 4
_LENGTHS = (32, 512, 8192)
"""Up to which length a run is looked for: a piece of the array so long is searched, so each is some times the one
before, and a run costs at most as many times its length."""


def countable(field: Field) -> bool:
    return field.kind == "count" and field.rule.kind not in ("map", "path", "sparql", "sql")


def keys_by_entity(
    rows: dict[str, DataFrame], fields: Sequence[Field], unfold: Unfold, seed: int, partitions: int
) -> DataFrame:
    """entity_id, masks (fields.py), keys array<long> (ascending, with repetitions). `rows`: by source; `fields`: all,
    of which the countable ones are read."""
    parts = [_keys(rows_df, name, fields, unfold, seed) for name, rows_df in rows.items()]
    masks = [f"_fields_{word}" for word in range(mask_words(fields))]
    all_keys = F.sort_array(F.flatten(F.collect_list("keys"))).alias("keys")
    # Brought together as they are: lists made before the shuffle too would be of few events each.
    events_df = reduce(DataFrame.unionByName, parts).repartition(partitions, "entity_id")
    grouped_df = events_df.groupBy("entity_id").agg(*(F.bit_or(mask).alias(mask) for mask in masks), all_keys)
    return grouped_df.where(F.size("keys") > 0)


def partitions_for(events: int, fields: int, most: int) -> int:
    """Partitions of entities that `events` are brought together in: `most`, but for little or very much."""
    keys = events * fields
    return max(-(-keys // _KEYS_A_PARTITION), min(most, -(-keys // _FEWEST_KEYS)), 1)


def counted_pairs(keys_df: DataFrame) -> DataFrame:
    """entity_id, key, weight double (how often) of every concept in `keys_by_entity`."""
    each_df = keys_df.select("entity_id", "keys", F.posexplode("keys").alias("start", "key"))
    firsts_df = each_df.where(~F.col("key").eqNullSafe(F.get("keys", F.col("start") - 1)))
    return firsts_df.select("entity_id", "key", _run_length().cast("double").alias("weight"))


def _run_length() -> Column:
    """How often `key` stands in the sorted `keys`, from `start` on. All of it is compiled; functions over array
    elements are not."""
    key, start = F.col("key"), F.col("start")

    def is_shorter(than: int) -> Column:
        return ~key.eqNullSafe(F.get("keys", start + than))

    def within(length: Column) -> Column:
        piece = F.slice("keys", start + 1, length)
        return F.size(piece) - F.size(F.array_remove(piece, key))

    found = F.when(is_shorter(1), 1)
    for length in range(2, _NEAR):
        found = found.when(is_shorter(length), length)
    for length in _LENGTHS:
        found = found.when(is_shorter(length), within(F.lit(length)))
    return found.otherwise(within(F.size("keys")))


def _keys(rows_df: DataFrame, source: str, fields: Sequence[Field], unfold: Unfold, seed: int) -> DataFrame:
    """entity_id, masks, keys array<long> of each event of a source."""
    own = [field for field in fields if field.source.name == source and countable(field)]
    rows_df = in_window(rows_df, own[0].source, unfold)
    # Arrays whose type says that no element is null: Spark sorts no others as plain longs.
    none = F.array_remove(F.array(F.lit(NO_KEY).cast("long")), NO_KEY)
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
    mark |= {field.number: F.size(f"_key_{field.number}") > 0 for field in multi}
    one_each = F.array(*(F.col(f"_key_{field.number}") for field in single)) if single else none
    there = F.array_remove(one_each, NO_KEY)
    keys = F.concat(there, *(F.col(f"_key_{field.number}") for field in multi)) if multi else there
    return keyed_df.select("entity_id", *masks_of(fields, mark), keys.alias("keys"))


def _keys_of_values(rows_df: DataFrame, field: Field, seed: int) -> Column:
    """The keys of all values but nulls and blanks."""
    number = F.lit(field.number)
    # As little as can be is done for each element, where nothing is compiled.
    keys = F.transform(values_of(rows_df, field.source, field.rule), lambda text: key_of(number, F.trim(text), seed))
    return F.array_remove(F.array_remove(keys, NO_KEY), key_of(number, F.lit(""), seed))
