"""Labels by rows (entity, segment, label)."""

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.align.label_tables import labelled_rows, split_unknown, table_hits
from pipeline.config.segments import LabelTable, Segment
from pipeline.errors import UserError
from tests.pipeline.align.helpers import hits_by_entity, make_segment

TABLE = LabelTable(name="labels", path="unused", entity="user", on_unknown_entity="quarantine")


def table_of(spark: SparkSession, *rows: tuple) -> DataFrame:
    table_df = spark.createDataFrame(list(rows), "user string, segment string, label string, score double")
    return table_df.withColumn("_entity", F.col("user"))


def labels(table_df: DataFrame, *segments: Segment, column: str = "hits") -> dict:
    numbered = list(enumerate(segments))
    return hits_by_entity(table_hits(labelled_rows(table_df, TABLE, numbered), TABLE, numbered), column)


def test_rows_of_a_segment_become_its_labels(spark: SparkSession) -> None:
    table_df = table_of(
        spark, ("a", "x", "1", 0.0), ("a", "y", "0", 0.0), ("b", "x", "0", 0.0), ("b", "other", "1", 0.0)
    )
    segments = [make_segment(name, table="labels", sample_space="labelled") for name in ("x", "y")]
    assert labels(table_df, *segments) == {"a": {0: 1.0, 1: 0.0}, "b": {0: 0.0}}


def test_a_segment_may_have_another_name_in_the_table(spark: SparkSession) -> None:
    table_df = table_of(spark, ("a", "x", "1", 0.0))
    one = make_segment("mine", table="labels", table_segment="x")
    other = make_segment("too", table="labels", table_segment="x", sample_space="score > 1")
    assert labels(table_df, one, other) == {"a": {0: 1.0}}


def test_binary_labels_may_be_written_as_numbers_or_truth_values(spark: SparkSession) -> None:
    texts = {"1": 1.0, "1.0": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}
    table_df = table_of(spark, *((text, "x", text, 0.0) for text in texts))
    segment = make_segment("x", table="labels", sample_space="labelled")
    assert labels(table_df, segment) == {text: {0: label} for text, label in texts.items()}


def test_bad_values_are_kept_out_with_a_reason(spark: SparkSession) -> None:
    table_df = table_of(
        spark,
        ("a", "yes", "2", 0.0),
        ("b", "yes", None, 0.0),
        ("a", "much", "NaN", 0.0),
        ("b", "much", None, 0.0),
        ("c", "much", "lots", 0.0),
        ("d", "much", "2.5", 0.0),
        ("a", "which", "red", 0.0),
        ("b", "which", "green", 0.0),
        ("c", "which", "green", 0.0),
        ("c", "which", "blue", 0.0),
    )
    segments = [
        make_segment("yes", table="labels", sample_space="labelled"),
        make_segment("much", table="labels", kind="regression"),
        make_segment("which", table="labels", kind="multiclass", classes=["green", "blue"]),
    ]
    good = {entity: of for entity, of in labels(table_df, *segments).items() if of}
    assert good == {"d": {1: 2.5}, "b": {2: 0.0}}
    assert labels(table_df, *segments, column="bad") == {
        "a": {
            0: "label 2 is neither 0 nor 1",
            1: "label NaN is not a finite number",
            2: "label red is none of the classes green, blue",
        },
        "b": {0: "label null is neither 0 nor 1", 1: "label null is not a finite number"},
        "c": {1: "label lots is not a finite number", 2: "several rows give different labels"},
        "d": {},
    }


def test_any_positive_row_makes_a_binary_label(spark: SparkSession) -> None:
    table_df = table_of(spark, ("a", "x", "0", 0.0), ("a", "x", "1", 0.0))
    assert labels(table_df, make_segment("x", table="labels", sample_space="labelled")) == {"a": {0: 1.0}}


def test_a_sample_space_is_a_condition_on_the_rows(spark: SparkSession) -> None:
    table_df = table_of(spark, ("a", "x", "1", 0.9), ("b", "x", "1", 0.1), ("c", "x", "0", 0.9))
    assert labels(table_df, make_segment("x", table="labels", sample_space="score > 0.5")) == {
        "a": {0: 1.0},
        "b": {},
        "c": {0: 0.0},
    }
    with pytest.raises(UserError, match=r"sample_space 'scor > 0.5' does not fit label table labels"):
        labels(table_df, make_segment("x", table="labels", sample_space="scor > 0.5"))


def test_unknown_entities_stop_or_go_to_the_quarantine(spark: SparkSession) -> None:
    table_df = table_of(spark, ("a", "x", "1", 0.0), ("ghost", "x", "1", 0.0), ("z", "not asked for", "1", 0.0))
    entities_df = spark.createDataFrame([("a", "support")], "entity_id string, split string")
    rows_df = labelled_rows(table_df, TABLE, [(0, make_segment("x", table="labels"))])
    known_df, unknown_df = split_unknown(rows_df, TABLE, entities_df)
    assert [row["user"] for row in known_df.collect()] == ["a"]
    assert unknown_df is not None
    assert [row["user"] for row in unknown_df.collect()] == ["ghost"]
    strict = TABLE.model_copy(update={"on_unknown_entity": "fail"})
    with pytest.raises(UserError, match=r"label table labels: 1 entities are in no source \(ghost\).*quarantine"):
        split_unknown(rows_df, strict, entities_df)


def test_a_column_that_is_not_there_is_named(spark: SparkSession) -> None:
    table = TABLE.model_copy(update={"label": "value"})
    with pytest.raises(UserError, match="label table labels: no column value; the columns are: user, segment, label"):
        labelled_rows(table_of(spark, ("a", "x", "1", 0.0)), table, [(0, make_segment("x", table="labels"))])
