"""Metrics agree with scikit-learn and with the paper's printed figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pipeline.evaluate.metrics import (
    binary_metrics,
    expected_calibration_error,
    mean_of,
    multiclass_metrics,
    regression_metrics,
    reliability_bins,
)


@pytest.fixture
def sample() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = rng.beta(1, 4, 500)
    return (rng.random(500) < scores).astype(np.float32), scores


def test_the_five_metrics_of_table_1(sample: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = sample
    found = binary_metrics(labels, scores, threshold=0.3)
    decisions = scores >= 0.3
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, decisions))
    assert found["auc"] == pytest.approx(sk.roc_auc_score(labels, scores))
    assert found["f1"] == pytest.approx(sk.f1_score(labels, decisions))
    assert found["kappa"] == pytest.approx(sk.cohen_kappa_score(labels, decisions))
    assert found["log_loss"] == pytest.approx(sk.log_loss(labels, scores))


@pytest.mark.parametrize(("accuracy", "printed"), [(0.8417, 5.4691), (0.8227, 6.1224), (0.6350, 12.6068)])
def test_the_papers_log_loss_is_that_of_its_decisions(accuracy: float, printed: float) -> None:
    rows = 10_000
    labels = np.zeros(rows)
    scores = (np.arange(rows) >= round(accuracy * rows)).astype(float)
    found = binary_metrics(labels, scores, threshold=0.5)["log_loss_on_decisions"]
    assert found == pytest.approx(printed, abs=2e-3)


def test_one_class_has_no_auc_and_does_not_spoil_the_mean() -> None:
    rows = [binary_metrics(np.zeros(4), np.linspace(0, 1, 4), 0.5), {"auc": 0.8}]
    assert math.isnan(rows[0]["auc"])
    assert mean_of(rows, ["auc"]) == {"auc": 0.8}


def test_no_rows_give_nan_not_an_error() -> None:
    assert all(math.isnan(value) for value in binary_metrics(np.zeros(0), np.zeros(0), 0.5).values())


def test_sure_and_wrong_scores_stay_finite() -> None:
    assert binary_metrics(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5)["log_loss"] == pytest.approx(34.54, abs=0.01)


def test_calibrated_scores_have_a_small_error(sample: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = sample
    assert expected_calibration_error(labels, scores) < 0.06
    assert expected_calibration_error(labels, np.clip(scores + 0.3, 0, 1)) == pytest.approx(0.3, abs=0.03)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=60), st.integers(1, 12))
@settings(max_examples=80, deadline=None)
def test_bins_hold_every_row_once_and_part_no_tie(rows: list[tuple[bool, int]], bins: int) -> None:
    labels = np.array([label for label, _ in rows], dtype=float)
    scores = np.array([score / 5 for _, score in rows])
    found = reliability_bins(labels, scores, bins)
    assert found["rows"].sum() == len(rows)
    assert len(found["rows"]) <= bins
    assert np.all(np.diff(found["score"]) > 0)
    assert found["positives"] @ found["rows"] == pytest.approx(labels.sum())
    assert found["score"] @ found["rows"] == pytest.approx(scores.sum())


def test_multiclass() -> None:
    classes = np.array([0, 1, 2, 1])
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]])
    found = multiclass_metrics(classes, probabilities)
    assert found["accuracy"] == 0.75
    assert found["log_loss"] == pytest.approx(sk.log_loss(classes, probabilities))
    assert found["auc"] == pytest.approx(sk.roc_auc_score(classes, probabilities, multi_class="ovr", average="macro"))


def test_regression() -> None:
    found = regression_metrics(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0]))
    assert found == pytest.approx({"mae": 2 / 3, "rmse": math.sqrt(4 / 3), "r2": -1.0})
