"""Labels by expressions over a source's rows."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from pipeline.align.expressions import label_window, source_hits
from pipeline.config.segments import Segment
from pipeline.config.unfolding import Unfold
from pipeline.errors import UserError
from tests.pipeline.align.helpers import hits_by_entity, make_segment

DAY = datetime(2026, 3, 1)
CLASSES = ["low", "mid", "high"]


@pytest.fixture(scope="module")
def rows_df(spark: SparkSession) -> DataFrame:
    rows = [
        ("a", DAY, "buy", 3.0, "low"),
        ("a", DAY + timedelta(days=2), "view", 5.0, "high"),
        ("a", DAY + timedelta(days=1), "buy", None, "mid"),
        ("b", DAY, "view", 1.0, None),
        ("c", DAY, None, None, "odd"),
        ("d", DAY, "view", float("nan"), None),
    ]
    return spark.createDataFrame(rows, "_entity string, _time timestamp, action string, amount double, level string")


def labels(rows_df: DataFrame, *segments: Segment, column: str = "hits", timed: bool = True) -> dict:
    return hits_by_entity(source_hits(rows_df, list(enumerate(segments)), timed=timed), column)


def by_task(rows_df: DataFrame, *segments: Segment) -> dict[int, dict[str, float]]:
    """Task -> entity -> label."""
    found: dict[int, dict[str, float]] = {task: {} for task in range(len(segments))}
    for entity, of_entity in labels(rows_df, *segments).items():
        for task, label in of_entity.items():
            found[task][entity] = label
    return found


def test_binary_labels(rows_df: DataFrame) -> None:
    found = by_task(
        rows_df,
        # All entities are in the space, so only what differs from 0 is a hit: zeros are filled in later.
        make_segment("everyone", "action = 'buy'"),
        make_segment("labelled", "action = 'buy'", sample_space="labelled"),
        make_segment("condition", "action = 'buy'", sample_space="action = 'view'"),
        make_segment("number", "amount - 2", aggregate="max"),
    )
    assert found[0] == {"a": 1.0}
    assert found[1] == {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0}
    assert found[2] == {"a": 1.0, "b": 0.0, "d": 0.0}
    # The largest of a and a NaN is the NaN, in Spark's order.
    assert found[3] == {"a": 1.0, "d": 1.0}


def test_regression_labels(rows_df: DataFrame) -> None:
    ways = [("sum", "amount"), ("max", "amount"), ("last", "amount"), ("count", "amount"), ("count", "action = 'buy'")]
    segments = [make_segment(f"s{i}", text, kind="regression", aggregate=how) for i, (how, text) in enumerate(ways)]
    assert by_task(rows_df, *segments) == {
        0: {"a": 8.0, "b": 1.0},
        1: {"a": 5.0, "b": 1.0},
        2: {"a": 5.0, "b": 1.0},
        3: {"a": 2.0, "b": 1.0, "d": 1.0},
        4: {"a": 2.0},
    }


def test_a_class_is_its_place_among_the_classes(rows_df: DataFrame) -> None:
    last = make_segment("last", "level", kind="multiclass", classes=["high", "mid", "low"], aggregate="last")
    largest = make_segment("largest", "level", kind="multiclass", classes=CLASSES, aggregate="max")
    assert by_task(rows_df, last, largest) == {0: {"a": 0.0}, 1: {"a": 2.0}}


def test_bad_values_have_a_reason(rows_df: DataFrame) -> None:
    level = make_segment("level", "level", kind="multiclass", classes=CLASSES, aggregate="last")
    amount = make_segment("amount", "amount", kind="regression", aggregate="sum")
    bad = {entity: of for entity, of in labels(rows_df, level, amount, column="bad").items() if of}
    assert bad == {"c": {0: "label is none of the classes low, mid, high"}, "d": {1: "label is not a finite number"}}


def test_a_sum_does_not_depend_on_the_order_of_the_rows(spark: SparkSession) -> None:
    amounts = [1e16, 1.0, -1e16, 1.0, 3.7, 1e-9] * 5
    segment = make_segment("s", "amount", kind="regression", aggregate="sum", sample_space="labelled")
    orders = [amounts, amounts[::-1], sorted(amounts)]
    rows = [(str(number), one) for number, order in enumerate(orders) for one in order]
    found = labels(spark.createDataFrame(rows, "_entity string, amount double"), segment, timed=False)
    assert len(found) == 3
    assert len({of[0] for of in found.values()}) == 1


def test_many_segments_are_one_pass_over_the_source(rows_df: DataFrame) -> None:
    segments = [make_segment(f"s{number}", f"amount > {number}") for number in range(40)]
    hits_df = source_hits(rows_df, list(enumerate(segments)), timed=True)
    plan = hits_df._jdf.queryExecution().optimizedPlan().toString()
    assert plan.count("Aggregate") == 1
    assert hits_by_entity(hits_df)["a"] == dict.fromkeys(range(5), 1.0)


def test_a_static_source_needs_no_time(spark: SparkSession) -> None:
    rows_df = spark.createDataFrame([("a", "x"), ("b", "y")], "_entity string, kind string")
    segment = make_segment("s", "kind", kind="multiclass", classes=["x", "y"], aggregate="last")
    assert labels(rows_df, segment, timed=False) == {"a": {0: 0.0}, "b": {0: 1.0}}


def test_the_window_is_half_open(spark: SparkSession) -> None:
    second = timedelta(seconds=1)
    times = [DAY - second, DAY, DAY + timedelta(days=7) - second, DAY + timedelta(days=7)]
    rows_df = spark.createDataFrame([(str(i), time) for i, time in enumerate(times)], "_entity string, _time timestamp")
    inside = label_window(rows_df, Unfold(cutoff="2026-03-01", horizon_days=7)).collect()
    assert sorted(row["_entity"] for row in inside) == ["1", "2"]
    with pytest.raises(UserError, match=r"unfold\.cutoff"):
        label_window(rows_df, Unfold())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expression": "acton = 'buy'"}, "segment s: label.expression .*acton.*columns there: action, amount, level"),
        ({"expression": "action = "}, "segment s: label.expression"),
        ({"expression": "sum(amount) > 100"}, "it is of one row, and label.aggregate says how rows become a label"),
        ({"expression": "true", "sample_space": "nowhere > 1"}, "segment s: sample_space 'nowhere > 1'"),
    ],
)
def test_what_spark_cannot_resolve_is_named(rows_df: DataFrame, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        labels(rows_df, make_segment("s", **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "multiclass"}, "classes are for kind multiclass, and it needs them"),
        ({"classes": ["x", "y"]}, "classes are for kind multiclass"),
        ({"kind": "multiclass", "classes": ["x", "x"], "aggregate": "last"}, "at least two classes"),
        ({"kind": "regression"}, "any does not make a regression label; choose one of max, sum, count, last"),
        ({"kind": "multiclass", "classes": ["x", "y"], "aggregate": "sum"}, "sum does not make a multiclass label"),
        ({"table": "t", "aggregate": "sum"}, "neither source nor aggregate"),
    ],
)
def test_labels_that_cannot_be_are_refused_with_the_configuration(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_segment("s", **changes)
