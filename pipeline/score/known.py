"""Vectors of a vocabulary that has grown since the model was trained: concepts the model does not know are left out."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def known_concepts(vectors_df: DataFrame, size: int) -> DataFrame:
    """The vectors with ids below `size` only. Ids ascend, so those are the first of each vector."""
    ids = F.filter("concept_ids", lambda concept_id: concept_id < size)
    weights = F.slice("concept_weights", F.lit(1), F.size(ids))
    return vectors_df.withColumns({"concept_ids": ids, "concept_weights": weights})


def count_unknown(vectors_df: DataFrame, size: int) -> int:
    """How many entries of all vectors `known_concepts` leaves out."""
    unknown = F.size(F.filter("concept_ids", lambda concept_id: concept_id >= size))
    row = vectors_df.agg(F.sum(unknown)).first()
    return int(row[0] or 0) if row is not None else 0
