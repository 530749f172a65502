"""From hits to task pairs: zeros filled in, degenerate tasks, numbers, groups."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from pipeline.align.tasks import Counts, count_pairs, count_rows, keep_learnable, renumber, size_group, with_pairs
from pipeline.errors import UserError
from tests.pipeline.align.helpers import make_segment

HITS = "entity_id string, hits array<struct<task: int, label: double>>"
SEGMENTS = [
    make_segment("everyone"),
    make_segment("some", sample_space="labelled"),
    make_segment("spent", "amount", kind="regression", aggregate="sum"),
    make_segment("best", "amount", kind="regression", aggregate="max"),
]


@pytest.fixture(scope="module")
def pairs_df(spark: SparkSession):
    entities_df = spark.createDataFrame(
        [("a", "support"), ("b", "support"), ("c", "query")], "entity_id string, split string"
    )
    one_df = spark.createDataFrame([("a", [(1, 0.0), (0, 1.0)]), ("stranger", [(0, 1.0)])], HITS)
    other_df = spark.createDataFrame([("a", [(2, 3.5)]), ("b", [(3, 2.0)])], HITS)
    return with_pairs(entities_df, [one_df, other_df], SEGMENTS).persist()


def test_everyone_without_a_row_has_label_zero(pairs_df) -> None:
    found = {row["entity_id"]: [tuple(pair) for pair in row["pairs"]] for row in pairs_df.collect()}
    assert found == {
        "a": [(0, 1.0), (1, 0.0), (2, 3.5)],
        "b": [(0, 0.0), (2, 0.0), (3, 2.0)],
        "c": [(0, 0.0), (2, 0.0)],
    }


def test_pairs_are_counted_by_split(pairs_df) -> None:
    counts, rows = count_pairs(pairs_df, len(SEGMENTS))
    assert rows == {"support": 2, "validation": 0, "query": 1} == count_rows(pairs_df)
    assert counts[0]["support"] == Counts(pairs=2, positives=1, least=0.0, most=1.0)
    assert counts[0]["query"] == Counts(pairs=1, positives=0, least=0.0, most=0.0)
    assert counts[3]["query"] == Counts()


def test_kept_tasks_are_numbered_anew(pairs_df) -> None:
    found = {
        row["entity_id"]: [tuple(pair) for pair in row["pairs"]] for row in renumber(pairs_df, [1, 3], 4).collect()
    }
    assert found == {"a": [(0, 0.0)], "b": [(1, 2.0)]}


def test_degenerate_segments_are_named() -> None:
    segments = [make_segment(name) for name in ("good", "none", "all", "empty")]
    support = [Counts(9, 3, 0.0, 1.0), Counts(9, 0, 0.0, 0.0), Counts(9, 9, 1.0, 1.0), Counts()]
    counts = [{"support": one} for one in support]
    with pytest.raises(UserError) as caught:
        keep_learnable(segments, counts, "fail")
    message = str(caught.value)
    assert "3 of 4 segments" in message
    assert "none: no positives; all: only positives; empty: no entity of its sample space has a label" in message
    assert "align.on_degenerate: skip" in message
    kept, left_out = keep_learnable(segments, counts, "skip")
    assert kept == [0]
    assert list(left_out) == ["none", "all", "empty"]


def test_constant_labels_of_other_kinds_are_degenerate_too() -> None:
    segments = [make_segment("best", "amount", kind="regression", aggregate="max")]
    with pytest.raises(UserError, match=r"best: only one label value \(2\.5\)"):
        keep_learnable(segments, [{"support": Counts(9, 9, 2.5, 2.5)}], "skip")


def test_with_no_segment_left_there_is_nothing_to_skip() -> None:
    with pytest.raises(UserError, match="1 of 1 segments"):
        keep_learnable([make_segment("none")], [{"support": Counts(9, 0, 0.0, 0.0)}], "skip")


def test_groups_go_by_positives() -> None:
    assert [size_group(positives, 200) for positives in (20, 200, 201, 2000, 2001)] == [
        "niche", "niche", "mid", "mid", "large",
    ]  # fmt: skip
