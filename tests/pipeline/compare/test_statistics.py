"""Tests, corrections and ranks of a comparison, against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.compare.statistics import Results, average_ranks, holm, paired_tests

RESULTS = Results(
    segments=["a", "b", "c", "d"],
    groups=["niche", "niche", "large", "large"],
    auc={
        "ours": np.array([[0.9, 0.8, 0.7, 0.6], [0.92, 0.82, 0.72, 0.62]]),
        "other": np.array([[0.8, 0.8, 0.6, 0.65], [0.82, 0.80, 0.62, 0.65]]),
        "baseline": np.array([[0.5, 0.5, np.nan, 0.5]]),
    },
)


def test_means_by_segment_and_by_seed() -> None:
    np.testing.assert_allclose(RESULTS.by_segment("ours"), [0.91, 0.81, 0.71, 0.61])
    np.testing.assert_allclose(RESULTS.by_seed("ours"), [0.75, 0.77])
    np.testing.assert_allclose(RESULTS.by_seed("ours", "niche"), [0.85, 0.87])
    np.testing.assert_allclose(RESULTS.by_seed("baseline"), [0.5])


def test_holm_multiplies_by_how_many_are_left_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_paired_tests_by_hand() -> None:
    tests = paired_tests(RESULTS, "ours", ["other", "baseline"])
    difference = np.array([0.10, 0.01, 0.10, -0.04])  # of the means over seeds
    assert tests["other"].difference == pytest.approx(difference.mean())
    assert (tests["other"].wins, tests["other"].losses) == (3, 1)
    t = difference.mean() / (difference.std(ddof=1) / 2)
    from scipy.stats import t as student

    raw = 2 * student.sf(t, 3)
    assert raw < tests["other"].p_value <= 2 * raw + 1e-12
    assert tests["baseline"].wins == 3  # the segment it lacks is left out


def test_ranks_leave_out_segments_that_somebody_lacks() -> None:
    assert average_ranks(RESULTS, ["ours", "other", "baseline"]) == pytest.approx(
        {"ours": 4 / 3, "other": 5 / 3, "baseline": 3.0}
    )
