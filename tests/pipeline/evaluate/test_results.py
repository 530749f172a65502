"""Means by group, gap closed, sign test, and how they are told."""

from __future__ import annotations

import io
import math

import pytest

from pipeline.evaluate.console import aligned, number, print_results
from pipeline.evaluate.results import SegmentResult, gap_closed, groups_of, sign_test, summarise


def segment(name: str, group: str = "niche", **auc: float) -> SegmentResult:
    metrics = {who: {"auc": value, "accuracy": 0.9} for who, value in auc.items()}
    counts = {"support_rows": 10, "support_positives": 5, "query_rows": 10, "query_positives": 5}
    return SegmentResult(name=name, kind="binary", group=group, metrics=metrics, **counts)


RESULTS = [
    segment("a", model=0.92, logistic_regression=0.88, lightgbm=0.86, oracle=0.96),
    segment("b", model=0.90, logistic_regression=0.91, lightgbm=0.80, oracle=0.97),
    segment("c", "large", model=0.80, logistic_regression=0.79, lightgbm=0.79, oracle=0.90),
]


def test_the_share_of_the_gap_is_that_of_the_group_means() -> None:
    niche = summarise(RESULTS, ["logistic_regression", "lightgbm"])["groups"]["niche"]
    assert niche["best_baseline"] == "logistic_regression"
    assert niche["gap_closed"]["logistic_regression"] == pytest.approx((0.91 - 0.895) / (0.965 - 0.895))
    assert niche["gap_closed"]["lightgbm"] == pytest.approx((0.91 - 0.83) / (0.965 - 0.83))


def test_no_gap_is_not_a_share() -> None:
    assert math.isnan(gap_closed(0.9, 0.95, 0.95))


def test_means_compare_the_same_segments() -> None:
    half_known = [*RESULTS[:2], segment("d", model=0.5, logistic_regression=0.5, lightgbm=0.5)]
    groups = summarise(half_known, ["logistic_regression", "lightgbm"])["groups"]
    assert groups["niche"]["model"]["auc"] == pytest.approx(0.91)


def test_the_sign_test_counts_segments() -> None:
    found = sign_test([*RESULTS, segment("e", model=0.5, logistic_regression=0.5)], "logistic_regression")
    assert (found["wins"], found["losses"], found["ties"], found["p_value"]) == (2, 1, 1, 1.0)
    assert sign_test([segment(str(n), model=0.9, low=0.8) for n in range(10)], "low")["p_value"] == pytest.approx(2**-9)


def test_groups_stand_from_many_to_few_then_the_users_own() -> None:
    assert groups_of([*RESULTS, segment("x", "ages"), segment("y", "mid")]) == ["large", "mid", "niche", "ages"]


def test_the_terminal_shows_groups_gap_and_wins() -> None:
    to = io.StringIO()
    print_results(summarise(RESULTS, ["logistic_regression", "lightgbm"]), to)
    text = to.getvalue()
    assert ["niche", "2", "0.9100", "0.8950", "0.8300", "0.9650"] in [line.split() for line in text.splitlines()]
    assert "niche: 21 % of the gap from the best baseline (logistic regression) to the oracle closed" in text
    assert "above logistic regression on 2 of 3 segments (sign test p = 1)" in text


def test_without_baselines_and_oracle_there_is_still_a_table() -> None:
    to = io.StringIO()
    print_results(summarise([segment("a", model=0.9)], []), to)
    assert "0.9000" in to.getvalue()


def test_cells_are_aligned() -> None:
    assert aligned([["a", "b"], ["long", "1.25"]]) == ["a        b", "----------", "long  1.25"]


def test_a_missing_figure_is_a_dash() -> None:
    assert number(float("nan")) == number(None) == "–"
