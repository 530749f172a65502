"""The population stability index, and the spans that things are counted by; no Spark needed."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.unfolding import Unfold
from pipeline.unfold.drift import drift_within, noise, psi
from pipeline.unfold.spans import feature_spans

COUNTS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=20)


def test_the_index_is_the_sum_of_differences_by_log_ratios() -> None:
    # Shares with half a row added to each value: 30.5/101, 50.5/101, 20.0/101 and so on.
    before, after = [30, 70], [60, 40]
    a, b = [30.5 / 101, 70.5 / 101], [60.5 / 101, 40.5 / 101]
    expected = (b[0] - a[0]) * math.log(b[0] / a[0]) + (b[1] - a[1]) * math.log(b[1] / a[1])
    assert psi(before, after) == pytest.approx(expected, rel=1e-12)
    assert noise([30, 70], [60, 40]) == pytest.approx(1 / 100 + 1 / 100)


@given(COUNTS)
def test_the_index_is_symmetric_and_never_negative(counts: list[tuple[int, int]]) -> None:
    before, after = [one for one, _ in counts], [other for _, other in counts]
    found = psi(before, after)
    if not sum(before) or not sum(after):
        assert found is None
    else:
        assert found is not None
        assert found >= -1e-12
        assert found == pytest.approx(psi(after, before))
        assert psi(before, before) == 0.0


def test_halves_are_of_the_periods_that_have_rows() -> None:
    found = drift_within([[0, 0], [0, 0], [10, 30], [10, 30], [30, 10], [30, 10]])
    assert found["psi"] == psi([20, 60], [60, 20])
    assert found["by_period"][:2] == [None, None]
    assert found["by_period"][4] == psi([20, 60], [30, 10])
    assert drift_within([[0, 0], [5, 5]])["psi"] is None
    assert drift_within([])["psi"] is None


@pytest.mark.parametrize(
    ("unfold", "days", "expected"),
    [
        ({"cutoff": "2026-03-01"}, ["2026-02-20", "2026-03-05"], (date(2026, 2, 20), 1, 1)),
        ({"cutoff": "2026-03-01 12:00:00"}, ["2026-02-20", "2026-03-01"], (date(2026, 2, 20), 1, 10)),
        ({"cutoff": "2026-03-01", "start": "2026-02-10"}, ["2026-01-01", "2026-02-11", "2026-02-12"], None),
        ({"cutoff": "2026-03-01"}, ["2025-01-01", "2026-02-28"], (date(2025, 1, 1), 7, 61)),
        ({"cutoff": "2026-03-01"}, [], (date.min, 1, 0)),
    ],
)
def test_spans_reach_from_the_first_day_of_features_to_the_last(unfold, days, expected) -> None:
    spans = feature_spans(Unfold(**unfold), [dict.fromkeys(days, 1)])
    if expected is None:
        assert spans.labels == ["2026-02-11", "2026-02-12"]
    else:
        assert (spans.first, spans.step, spans.count) == expected


@given(st.integers(1, 62), st.integers(2, 31))
def test_periods_are_even_and_leave_no_span_out(days: int, most: int) -> None:
    last = date(2026, 1, 1) + timedelta(days=days - 1)
    spans = feature_spans(Unfold(cutoff="2027-01-01"), [{"2026-01-01": 1, last.isoformat(): 1}])
    periods = spans.periods(most)
    assert [number for period in periods for number in period] == list(range(days))
    assert len(periods) == min(most, days)
    assert max(map(len, periods)) - min(map(len, periods)) <= 1
