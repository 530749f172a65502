"""The threshold is the best of all cuts, for each objective."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from pipeline.thresholds import choose_threshold

MEASURES = {"f1": f1_score, "accuracy": accuracy_score, "kappa": cohen_kappa_score}
ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=25)


@pytest.mark.parametrize("objective", MEASURES)
@given(rows=ROWS)
@settings(max_examples=60, deadline=None)
def test_no_other_cut_is_better(objective: str, rows: list[tuple[bool, int]]) -> None:
    labels = np.array([label for label, _ in rows], dtype=np.float32)
    scores = np.array([score / 7 for _, score in rows], dtype=np.float32)
    if labels.min() == labels.max():
        assert choose_threshold(labels, scores, objective, default=0.3) == 0.3
        return
    measure = MEASURES[objective]
    chosen = measure(labels, scores >= choose_threshold(labels, scores, objective))
    others = [measure(labels, scores >= cut) for cut in np.unique(scores)]
    assert chosen >= max(others) - 1e-9


def test_prevalence_selects_as_many_as_there_are_positives() -> None:
    labels = np.array([1, 0, 1, 0, 0, 0], dtype=np.float32)
    scores = np.array([0.9, 0.8, 0.3, 0.2, 0.1, 0.05])
    assert (scores >= choose_threshold(labels, scores, "prevalence")).sum() == 2


def test_a_cut_lies_half_way_between_its_neighbours() -> None:
    labels, scores = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.6, 0.9])
    assert choose_threshold(labels, scores, "f1") == pytest.approx(0.4)


def test_neighbouring_floats_stay_apart() -> None:
    low = np.float64(0.5)
    high = np.nextafter(low, 1)
    threshold = choose_threshold(np.array([0.0, 1.0]), np.array([low, high]), "f1")
    assert low < threshold <= high


def test_half_is_not_chosen() -> None:
    labels, scores = np.array([0, 0, 1], dtype=np.float32), np.array([0.1, 0.2, 0.3], dtype=np.float32)
    assert choose_threshold(labels, scores, "half", default=0.9) == 0.5
    assert choose_threshold(labels[:2], scores[:2], "half", default=0.9) == 0.5
