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


def test_signed_ranks_by_hand() -> None:
    """Of 2^5 signs two have all ranks on one side, so p = 2/32; one outlier makes the t-test blind to it."""
    ahead = np.array([[0.51, 0.52, 0.53, 0.54, 0.9]])
    results = Results(segments="abcde", groups=["large"] * 5, auc={"ours": ahead, "other": np.full((1, 5), 0.5)})
    test = paired_tests(results, "ours", ["other"])["other"]
    assert test.rank_p_value == pytest.approx(2 / 32)
    assert test.p_value > 0.2
    same = paired_tests(results, "ours", ["ours"])["ours"]
    assert same.rank_p_value == 1.0


def test_signed_ranks_are_corrected_for_the_number_of_comparisons() -> None:
    tests = paired_tests(RESULTS, "ours", ["other", "baseline"])
    # Alone: all three signs the same, 2 / 2^3; of two tests the smaller p counts twice, and the other is none below it.
    assert paired_tests(RESULTS, "ours", ["baseline"])["baseline"].rank_p_value == pytest.approx(0.25)
    assert tests["baseline"].rank_p_value == pytest.approx(0.5)
    assert tests["other"].rank_p_value == pytest.approx(0.5)


def test_ranks_leave_out_segments_that_somebody_lacks() -> None:
    assert average_ranks(RESULTS, ["ours", "other", "baseline"]) == pytest.approx(
        {"ours": 4 / 3, "other": 5 / 3, "baseline": 3.0}
    )


def test_the_same_lead_on_every_segment_is_beyond_chance_and_none_at_all_is_not() -> None:
    level = np.full((1, 5), 0.5)
    results = Results(segments="abcde", groups=["large"] * 5, auc={"ours": level + 0.25, "other": level, "same": level})
    assert paired_tests(results, "ours", ["other"])["other"].p_value == 0.0
    assert paired_tests(results, "other", ["same"])["same"].p_value == 1.0
