"""The table over seeds: means, deviations, shares of gaps, wins."""

from __future__ import annotations

import csv

import pytest

from pipeline.experiment_table import SegmentResult, gap_closed, mean_auc, metrics_table, sign_test, write_table


def result(segment: str, group: str, model: float, low: float, oracle: float = 0.95) -> SegmentResult:
    return SegmentResult(
        segment=segment, group=group, model=model, references={"logistic_regression": low, "oracle": oracle}
    )


RESULTS = {
    0: [result("a", "niche", 0.90, 0.85), result("b", "niche", 0.90, 0.85), result("c", "large", 0.8, 0.82)],
    1: [result("a", "niche", 0.92, 0.85), result("b", "niche", 0.92, 0.85), result("c", "large", 0.8, 0.82)],
}


def test_means_are_by_seed_and_group() -> None:
    assert mean_auc(RESULTS, "niche") == pytest.approx([0.90, 0.92])
    assert mean_auc(RESULTS, "all", "logistic_regression") == pytest.approx([0.84, 0.84])


def test_share_of_the_gap() -> None:
    assert gap_closed(RESULTS, "niche", "logistic_regression") == pytest.approx([0.5, 0.7])


def test_sign_test_counts_segments_by_their_mean_over_seeds() -> None:
    wins, losses, p_value = sign_test(RESULTS, "logistic_regression")
    assert (wins, losses) == (2, 1)
    assert p_value == pytest.approx(1.0)


def test_the_files_hold_every_seed_and_segment(tmp_path) -> None:
    text = write_table(tmp_path, RESULTS)
    assert "| niche | 2 | 0.9100 ± 0.0141 | 0.8500 ± 0.0000 | 0.9500 ± 0.0000 |" in text
    assert "niche: 0.600 ± 0.141 of the gap logistic_regression → oracle closed" in text
    rows = list(csv.DictReader((tmp_path / "experiment.csv").open()))
    assert len(rows) == 6
    assert rows[0] == {
        "seed": "0",
        "segment": "a",
        "group": "niche",
        "model": "0.900000",
        "logistic_regression": "0.850000",
        "oracle": "0.950000",
    }
    assert sorted(one.name for one in tmp_path.iterdir()) == ["experiment.csv", "experiment.md"]


def test_one_seed_has_no_deviation(tmp_path) -> None:
    assert "±" not in write_table(tmp_path, {0: RESULTS[0]}).split("\n", 1)[1]


def test_metrics_stand_beside_published_ones() -> None:
    seeds = [{"accuracy": 0.85, "auc": 0.9}, {"accuracy": 0.86, "auc": 0.9}]
    text = metrics_table(seeds, {"a paper": {"auc": 0.894}})
    assert "| model | 0.8550 ± 0.0071 | 0.9000 ± 0.0000 |\n| a paper |  | 0.8940 |\n" in text
    assert metrics_table(seeds, {}) == ""
    assert metrics_table([], {"a paper": {"auc": 0.894}}) == ""
