"""Concepts -> ids, without ever collecting them to the driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.unfold.fields import Field, key_of

BROADCAST_ROWS = 300_000
"""Vocabularies up to this size (some tens of MB) are sorted in one partition and sent to every executor whole."""
_ROW_BITS = 33  # monotonically_increasing_id: partition number above, row number in these low bits


class SharedKeysError(Exception):
    """Two concepts have one key."""


def count_concepts(pairs_df: DataFrame) -> DataFrame:
    """key, entities long: how many entities have each concept. pairs_df: entity_id, key, weight."""
    return pairs_df.groupBy("key").agg(F.count("*").alias("entities"))


def named_concepts(
    counted_df: DataFrame,
    exploded_df: DataFrame,
    fields: Sequence[Field],
    seed: int,
    aggregates: Sequence[Column] = (),
) -> DataFrame:
    """concept, field, entities: the counted keys by name. exploded_df: field, value (see associations.py).

    A key that two concepts share makes two rows: see `check_keys`. More columns are `aggregates` of a concept's rows.
    """
    # Something has to be aggregated for Spark to use its fast hash map.
    values_df = exploded_df.groupBy("field", "value").agg(*(aggregates or [F.count("*").alias("_any")]))
    more = [name for name in values_df.columns if name not in (*exploded_df.columns, "_any")]
    named_df = values_df.select(
        key_of(F.col("field"), F.col("value"), seed).alias("key"),
        _concept(fields).alias("concept"),
        _field(fields).alias("field"),
        *more,
    )
    return named_df.join(counted_df, "key").select("concept", "field", "entities", *more)


def check_keys(keys: int, concepts: int) -> None:
    """Raises SharedKeysError where there are fewer keys than concepts, RuntimeError where there are more."""
    if keys < concepts:
        raise SharedKeysError(f"{concepts} concepts have {keys} keys")
    if keys > concepts:
        raise RuntimeError(f"{keys - concepts} concepts have no name: the sources changed meanwhile; run unfold again")


def exact_vocabulary(
    named_df: DataFrame, size: int, bounds: tuple[int, int], keep: Callable[[DataFrame], DataFrame]
) -> DataFrame:
    """concept_id, concept, field, entities of the `size` concepts whose number of entities is within `bounds`.

    Ids 0..size-1 go by descending entity count, ties by name. A vocabulary that fits one partition is sorted there.
    Else the sort is by ranges, a range a partition: a concept's id is its row in the partition plus all rows before
    it. `keep` caches a DataFrame: the ranges stay as they were counted.
    """
    kept_df = named_df.where(F.col("entities").between(*bounds))
    order = (F.desc("entities"), F.col("concept"))
    if size <= BROADCAST_ROWS:
        sorted_df = kept_df.repartition(1).sortWithinPartitions(*order)
        return sorted_df.select(F.monotonically_increasing_id().cast("int").alias("concept_id"), *kept_df.columns)
    marked_df = keep(kept_df.orderBy(*order).withColumn("_mark", F.monotonically_increasing_id()))
    partition = F.shiftright("_mark", _ROW_BITS)
    sizes = {row["p"]: row["count"] for row in marked_df.groupBy(partition.alias("p")).count().collect()}
    before = [0, *accumulate(sizes.get(p, 0) for p in range(max(sizes, default=0)))]
    row = F.col("_mark").bitwiseAND(F.lit((1 << _ROW_BITS) - 1))
    start = F.element_at(F.array(*[F.lit(n).cast("long") for n in before]), partition.cast("int") + 1)
    return marked_df.select((start + row).cast("int").alias("concept_id"), "concept", "field", "entities")


def hashed_concepts(named_df: DataFrame, bits: int) -> DataFrame:
    """concept_id = xxhash64(concept) mod 2^bits, concept, field, entities: every concept; ids may be shared."""
    return named_df.select(hashed_id(F.col("concept"), bits).alias("concept_id"), "concept", "field", "entities")


def hashed_id(concept: Column, bits: int) -> Column:
    return F.pmod(F.xxhash64(concept), F.lit(2**bits).cast("long")).cast("int")


def hashed_vocabulary(hashed_df: DataFrame, numbered_df: DataFrame, bits: int) -> DataFrame:
    """The same, one row an id 0..2^bits - 1.

    An id is named for its most frequent concept, `entities` have any of its concepts (numbered_df: entity_id,
    concept_id). An id that nobody has is named #id.
    """
    first = F.max_by(F.struct("concept", "field"), F.struct("entities", "concept"))
    by_id_df = hashed_df.groupBy("concept_id").agg(first.alias("first"))
    carriers_df = numbered_df.groupBy("concept_id").agg(F.count("*").alias("entities"))
    every_df = hashed_df.sparkSession.range(2**bits).select(F.col("id").cast("int").alias("concept_id"))
    joined_df = every_df.join(by_id_df, "concept_id", "left").join(carriers_df, "concept_id", "left")
    return joined_df.select(
        "concept_id",
        F.coalesce("first.concept", F.concat(F.lit("#"), F.col("concept_id").cast("string"))).alias("concept"),
        F.coalesce("first.field", F.lit("#")).alias("field"),
        F.coalesce("entities", F.lit(0)).cast("long").alias("entities"),
    )


def collision_rate(hashed_df: DataFrame) -> float:
    """The share of concepts that share their id with another."""
    count = F.col("count")
    shared = F.coalesce(F.sum(F.when(count > 1, count)), F.lit(0))
    row = hashed_df.groupBy("concept_id").count().agg(shared.alias("shared"), F.sum(count).alias("all")).first()
    assert row is not None
    return row["shared"] / row["all"] if row["all"] else 0.0


def ids_of(vocabulary_df: DataFrame, fields: Sequence[Field], seed: int) -> DataFrame:
    """key, concept_id from a table of concepts."""
    pairs = [F.lit(part) for field in fields for part in (field.name, field.number)]
    number = F.create_map(*pairs)[F.col("field")]
    value = F.expr("substring(concept, length(field) + 2)")
    known_df = vocabulary_df.where(number.isNotNull())  # a vocabulary with stable ids remembers fields that are gone
    return known_df.select(key_of(number, value, seed).alias("key"), "concept_id")


def _concept(fields: Sequence[Field]) -> Column:
    """`source.rule=value` from the columns field and value."""
    return F.concat(_field(fields), F.lit("="), F.col("value"))


def _field(fields: Sequence[Field]) -> Column:
    return F.element_at(F.array(*[F.lit(field.name) for field in fields]), F.col("field") + 1)
