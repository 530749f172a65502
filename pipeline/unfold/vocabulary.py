"""Concepts -> ids, without ever collecting them to the driver."""

from __future__ import annotations

from itertools import accumulate

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.config.data import Vocabulary
from pipeline.unfold.associations import Field

_ROW_BITS = 33  # monotonically_increasing_id: partition number above, row number in these low bits


def concept_name(fields: list[Field]) -> Column:
    """`source.rule=value` from the columns field and value."""
    return F.concat(field_name(fields), F.lit("="), F.col("value"))


def field_name(fields: list[Field]) -> Column:
    return F.element_at(F.array(*[F.lit(field.name) for field in fields]), F.col("field") + 1)


def count_concepts(associations_df: DataFrame, fields: list[Field]) -> DataFrame:
    """field int, value, concept, entities long: each concept and how many entities have it."""
    counted_df = associations_df.groupBy("field", "value").agg(F.count("*").alias("entities"))
    return counted_df.withColumn("concept", concept_name(fields))


def number_concepts(counted_df: DataFrame, vocabulary: Vocabulary) -> DataFrame:
    """Adds `concept_id` (exact vocabulary): 0..V-1 by descending entity count, ties by name; rare ones dropped.

    The caller unpersists nothing: the sorted concepts are cached until the session lets them go.
    """
    kept_df = counted_df.where(F.col("entities") >= vocabulary.min_entities)
    sorted_df = kept_df.orderBy(F.desc("entities"), "concept")
    # The sort is by ranges, a range a partition: a concept's rank is its row in the partition + all rows before.
    marked_df = sorted_df.withColumn("_mark", F.monotonically_increasing_id()).persist()
    partition = F.shiftright("_mark", _ROW_BITS)
    sizes = {row["p"]: row["count"] for row in marked_df.groupBy(partition.alias("p")).count().collect()}
    before = [0, *accumulate(sizes.get(p, 0) for p in range(max(sizes, default=0)))]
    row = F.col("_mark").bitwiseAND(F.lit((1 << _ROW_BITS) - 1))
    start = F.element_at(F.array(*[F.lit(n).cast("long") for n in before]), partition.cast("int") + 1)
    return marked_df.withColumn("concept_id", (start + row).cast("int")).drop("_mark")


def hash_concepts(counted_df: DataFrame, vocabulary: Vocabulary) -> DataFrame:
    """Adds `concept_id` = xxhash64(concept) mod 2^bits (hashed vocabulary); nothing is dropped."""
    size = F.lit(2**vocabulary.bits).cast("long")
    return counted_df.withColumn("concept_id", F.pmod(F.xxhash64("concept"), size).cast("int"))


def vocabulary_table(
    numbered_df: DataFrame, fields: list[Field], vocabulary: Vocabulary, spark: SparkSession
) -> DataFrame:
    """The table `vocabulary`: concept_id, concept, field, entities, one row an id 0..V-1.

    Hashed: an id is named for its most frequent concept; an id that nobody has is `#id` with no entities.
    """
    named_df = numbered_df.select("concept_id", "concept", field_name(fields).alias("field"), "entities")
    if vocabulary.kind == "exact":
        return named_df
    first = F.max_by(F.struct("concept", "field"), F.struct("entities", "concept"))
    by_id_df = named_df.groupBy("concept_id").agg(first.alias("first"), F.sum("entities").alias("entities"))
    every_df = spark.range(2**vocabulary.bits).select(F.col("id").cast("int").alias("concept_id"))
    return every_df.join(by_id_df, "concept_id", "left").select(
        "concept_id",
        F.coalesce("first.concept", F.concat(F.lit("#"), F.col("concept_id").cast("string"))).alias("concept"),
        F.coalesce("first.field", F.lit("#")).alias("field"),
        F.coalesce("entities", F.lit(0)).cast("long").alias("entities"),
    )


def collision_rate(numbered_df: DataFrame) -> float:
    """The share of concepts that share their id with another (hashed vocabulary)."""
    by_id_df = numbered_df.groupBy("concept_id").count()
    row = by_id_df.agg(
        F.sum("count").alias("all"), F.sum(F.when(F.col("count") > 1, F.col("count"))).alias("shared")
    ).first()
    return (row["shared"] or 0) / row["all"] if row and row["all"] else 0.0
