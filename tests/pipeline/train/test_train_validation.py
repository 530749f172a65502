"""Metrics over the full set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score, roc_auc_score

from models.task import Task
from pipeline.train.validation import PairScores, Quality, auc_of_sorted, judge


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=60))
def test_auc_agrees_with_sklearn_with_ties_too(rows: list[tuple[int, bool]]) -> None:
    rows = sorted(rows)
    scores = np.array([score for score, _ in rows], float)
    labels = np.array([label for _, label in rows], float)
    if labels.min() == labels.max():
        assert np.isnan(auc_of_sorted(labels, scores))
    else:
        assert auc_of_sorted(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def make_scores() -> tuple[PairScores, list[Task], list[str]]:
    rng = np.random.default_rng(0)
    tasks = [
        Task(name="a"),
        Task(name="b"),
        Task(name="one class"),
        Task(name="colour", kind="multiclass", outputs=3),
        Task(name="spend", kind="regression"),
        Task(name="nobody"),
    ]
    labels = rng.integers(0, 2, 100).astype(np.float32)
    task_ids = np.arange(100) % 5
    labels[task_ids == 2] = 0
    labels[task_ids == 4] = rng.normal(size=20)
    scores = (labels + rng.normal(size=100)).astype(np.float32)
    scores[task_ids == 3] = rng.integers(0, 2, 20)
    losses = rng.random(100).astype(np.float32)
    return PairScores(task_ids, labels, scores, losses), tasks, ["niche", "large", "niche", "large", "large", "niche"]


def test_judge_gives_each_task_its_metric_and_means_by_group() -> None:
    scores, tasks, groups = make_scores()
    quality = judge(scores, tasks, groups)

    def of(task: int) -> tuple[np.ndarray, np.ndarray]:
        mine = scores.tasks == task
        return scores.labels[mine], scores.scores[mine]

    a, b = roc_auc_score(*of(0)), roc_auc_score(*of(1))
    right, r2 = of(3)[1].mean(), r2_score(*of(4))
    assert quality.tasks["a"]["auc"] == pytest.approx(a)
    assert quality.tasks["colour"]["accuracy"] == pytest.approx(right)
    assert quality.tasks["spend"]["r2"] == pytest.approx(r2, abs=1e-6)
    assert "auc" not in quality.tasks["one class"]
    assert "nobody" not in quality.tasks
    assert quality.groups == pytest.approx({"niche": a, "large": np.mean([b, right, r2])}, abs=1e-6)
    assert quality.mean == pytest.approx(np.mean([a, b, right, r2]), abs=1e-6)


def test_the_order_of_pairs_does_not_matter() -> None:
    scores, tasks, groups = make_scores()
    order = np.random.default_rng(1).permutation(len(scores.tasks))
    shuffled = PairScores(scores.tasks[order], scores.labels[order], scores.scores[order], scores.losses[order])
    before, after = judge(scores, tasks, groups), judge(shuffled, tasks, groups)
    assert after.groups == pytest.approx(before.groups, abs=1e-12)


def test_selection_falls_back_to_the_mean_without_niche_tasks() -> None:
    assert Quality(mean=0.7, groups={"niche": 0.6, "large": 0.8}).selected("niche") == 0.6
    assert Quality(mean=0.7, groups={"large": 0.8}).selected("niche") == 0.7
    assert Quality(mean=0.7, groups={"niche": 0.6}).selected("mean") == 0.7
    assert Quality(mean=0.7, loss=0.3).selected("loss") == -0.3
    assert Quality().selected("loss") is None
