"""Rows that no model can score, and why."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

REASON = "reason"


def with_unscorable_reason(vectors_df: DataFrame, vocabulary_size: int) -> DataFrame:
    """Add `reason`: null for rows a model over `vocabulary_size` concepts can score.

    vectors_df: entity_id string, concept_ids array<int>, concept_weights array<float>. An entity without any
    concept can be scored (it gets each segment's score of a blank entity).
    """
    ids, weights = F.col("concept_ids"), F.col("concept_weights")
    reason = (
        F.when(F.col("entity_id").isNull(), "no entity_id")
        .when(ids.isNull() | weights.isNull(), "no concept vector")
        .when(F.size(ids) != F.size(weights), "concept_ids and concept_weights differ in length")
        .when(_any(ids, lambda value: value.isNull()), "a concept id is null")
        .when((F.array_min(ids) < 0) | (F.array_max(ids) >= vocabulary_size), "a concept id is not in the vocabulary")
        # Neither null nor NaN nor infinite: NaN compares as larger than any number.
        .when(
            _any(weights, lambda value: value.isNull() | (F.abs(value) >= F.lit(float("inf")))),
            "a concept weight is not a finite number",
        )
    )
    return vectors_df.withColumn(REASON, reason)


def _any(column: Column, condition: object) -> Column:
    return F.exists(column, condition)  # type: ignore[arg-type]
