"""Scores by entity become predictions by entity and segment."""

from __future__ import annotations

from pyspark.sql import SparkSession

from pipeline.score.partition import SCHEMA
from pipeline.score.rows import by_segment


def test_an_entity_has_a_row_a_head_in_the_order_of_the_heads(quick: SparkSession) -> None:
    scored = [("a", [0.9, 30.0], [True, None]), ("b", [0.5, 0.0], [False, None])]
    rows_df = by_segment(quick.createDataFrame(scored, SCHEMA), ["first", "second"])
    assert [tuple(row) for row in rows_df.collect()] == [
        ("a", "first", 0.9, True),
        ("a", "second", 30.0, None),
        ("b", "first", 0.5, False),
        ("b", "second", 0.0, None),
    ]
