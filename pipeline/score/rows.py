"""Scores by entity → predictions, a row an entity and segment: by Spark, once they are back from its Python workers."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def by_segment(scored_df: DataFrame, names: Sequence[str]) -> DataFrame:
    """entity_id, segment, score double, decision boolean from rows of `partition.SCHEMA`; names: of its heads."""
    each_df = scored_df.select("entity_id", "decisions", F.posexplode("scores").alias("head", "score"))
    segments = F.array(*[F.lit(name) for name in names])
    segment, decision = F.get(segments, F.col("head")), F.get(F.col("decisions"), F.col("head"))
    return each_df.select("entity_id", segment.alias("segment"), "score", decision.alias("decision"))
