"""Concepts -> ids, without ever collecting them to the driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.unfold.associations import Field

_ROW_BITS = 33  # monotonically_increasing_id: partition number above, row number in these low bits


def count_concepts(associations_df: DataFrame) -> DataFrame:
    """field int, value, entities long: how many entities have each concept."""
    return associations_df.groupBy("field", "value").agg(F.count("*").alias("entities"))


def exact_vocabulary(
    counted_df: DataFrame, fields: Sequence[Field], min_entities: int, keep: Callable[[DataFrame], DataFrame]
) -> tuple[DataFrame, int]:
    """concept_id, concept, field, entities, and how many there are: V.

    Ids 0..V-1 go by descending entity count, ties by name; concepts of fewer than `min_entities` are dropped. The
    sort is by ranges, a range a partition: a concept's id is its row in the partition plus all rows before it.
    `keep` caches a DataFrame: the ranges stay as they were counted.
    """
    kept_df = counted_df.where(F.col("entities") >= min_entities)
    named_df = kept_df.select(_concept(fields).alias("concept"), _field(fields).alias("field"), "entities")
    sorted_df = named_df.orderBy(F.desc("entities"), "concept")
    marked_df = keep(sorted_df.withColumn("_mark", F.monotonically_increasing_id()))
    partition = F.shiftright("_mark", _ROW_BITS)
    sizes = {row["p"]: row["count"] for row in marked_df.groupBy(partition.alias("p")).count().collect()}
    before = [0, *accumulate(sizes.get(p, 0) for p in range(max(sizes, default=0)))]
    row = F.col("_mark").bitwiseAND(F.lit((1 << _ROW_BITS) - 1))
    start = F.element_at(F.array(*[F.lit(n).cast("long") for n in before]), partition.cast("int") + 1)
    numbered_df = marked_df.select((start + row).cast("int").alias("concept_id"), "concept", "field", "entities")
    return numbered_df, sum(sizes.values())


def hashed_concepts(counted_df: DataFrame, fields: Sequence[Field], bits: int) -> DataFrame:
    """concept_id = xxhash64(concept) mod 2^bits, concept, field, entities: every concept; ids may be shared."""
    named_df = counted_df.select(_concept(fields).alias("concept"), _field(fields).alias("field"), "entities")
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


def ids_of(vocabulary_df: DataFrame, fields: Sequence[Field]) -> DataFrame:
    """field int, value, concept_id from a table of concepts."""
    pairs = [F.lit(part) for field in fields for part in (field.name, field.number)]
    number = F.create_map(*pairs)[F.col("field")]
    value = F.expr("substring(concept, length(field) + 2)")
    return vocabulary_df.select(number.alias("field"), value.alias("value"), "concept_id")


def _concept(fields: Sequence[Field]) -> Column:
    """`source.rule=value` from the columns field and value."""
    return F.concat(_field(fields), F.lit("="), F.col("value"))


def _field(fields: Sequence[Field]) -> Column:
    return F.element_at(F.array(*[F.lit(field.name) for field in fields]), F.col("field") + 1)
