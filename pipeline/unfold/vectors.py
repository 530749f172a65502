"""Associations + vocabulary -> one sparse concept vector an entity."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def concept_vectors(associations_df: DataFrame, numbered_df: DataFrame, transform: str) -> DataFrame:
    """The table `concept_vectors`: entity_id, concept_ids (ascending), concept_weights.

    `numbered_df` has field, value, concept_id, and idf for transform tfidf. Concepts that share an id (hashed
    vocabulary) add up. Entities whose concepts were all dropped have no vector.
    """
    idf = ["idf"] if transform == "tfidf" else []
    joined_df = associations_df.join(numbered_df.select("field", "value", "concept_id", *idf), ["field", "value"])
    weighted_df = joined_df.select("entity_id", "concept_id", _transformed(transform).cast("float").alias("weight"))
    entries = F.array_sort(F.collect_list(F.struct("concept_id", "weight")))
    grouped_df = weighted_df.groupBy("entity_id").agg(entries.alias("entries"))
    return grouped_df.select(
        "entity_id",
        F.col("entries.concept_id").alias("concept_ids"),
        F.col("entries.weight").alias("concept_weights"),
    )


def merge_ids(associations_df: DataFrame, numbered_df: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Hashed vocabulary: associations by id instead of value, so that concepts with one id make one entry."""
    key = F.col("concept_id").cast("string")
    joined_df = associations_df.join(numbered_df.select("field", "value", "concept_id"), ["field", "value"])
    merged_df = joined_df.groupBy("entity_id", "concept_id").agg(
        F.sum(F.col("weight").cast("decimal(38,9)")).cast("double").alias("weight")
    )
    ids_df = numbered_df.select("concept_id").distinct()
    return (
        merged_df.select("entity_id", F.lit(0).alias("field"), key.alias("value"), "weight"),
        ids_df.select(F.lit(0).alias("field"), key.alias("value"), "concept_id"),
    )


def with_idf(numbered_df: DataFrame, associations_df: DataFrame, support_df: DataFrame) -> DataFrame:
    """Adds idf = ln((1 + n) / (1 + n_c)) + 1, n support entities, n_c of them with concept c.

    Only support entities count, so that nothing of the query split is in the features.
    """
    support = support_df.count()
    in_support_df = associations_df.join(support_df, "entity_id", "left_semi")
    counted_df = in_support_df.groupBy("field", "value").agg(F.count("*").alias("_support"))
    joined_df = numbered_df.join(counted_df, ["field", "value"], "left")
    idf = F.log(F.lit(1.0 + support) / (1.0 + F.coalesce(F.col("_support"), F.lit(0)))) + 1.0
    return joined_df.withColumn("idf", idf).drop("_support")


def _transformed(transform: str) -> Column:
    weight = F.col("weight")
    if transform == "none":
        return weight
    # The sign is kept: sums of negative numbers (refunds) stay apart from positive ones.
    logarithm = F.signum(weight) * F.log1p(F.abs(weight))
    return logarithm * F.col("idf") if transform == "tfidf" else logarithm
