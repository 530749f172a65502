"""Baselines see what the model sees, find the optimum, and are fitted once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from pipeline.classical import fit_linear, linear, trees
from pipeline.classical.views import View, row_scale, without
from pipeline.evaluate.baselines import Fitted, Splits, fit_baselines
from pipeline.evaluate.cache import cached, key_of
from pipeline.evaluate.metrics import auc
from pipeline.shards.batches import load_csr
from pipeline.shards.dataset import open_folder
from tests.pipeline.evaluate.world import LABEL_CONCEPT, TASKS, write_world

TRAVEL, RARE, COLOUR, SPEND = range(4)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    shards = open_folder(write_world(tmp_path_factory.mktemp("world")))
    matrices = [load_csr(shards, split) for split in ("support", "validation", "query")]
    return Splits(*matrices, shards.tasks, [np.array(task.mask, dtype=np.int64) for task in TASKS])


@pytest.mark.parametrize("name", ["logistic_regression", "lightgbm"])
def test_every_task_is_fitted_better_than_chance(splits: Splits, name: str) -> None:
    fitted = fit_baselines(splits, [name], "f1")[name]
    for task_id in (TRAVEL, RARE):
        side = splits.view(task_id).query
        assert fitted[task_id].scores.shape == side.labels.shape
        assert auc(side.labels, fitted[task_id].scores) > 0.7
        assert 0 < fitted[task_id].threshold < 1
    colours = fitted[COLOUR].scores
    assert colours.shape == (len(splits.view(COLOUR).query.labels), 3)
    assert colours.sum(axis=1) == pytest.approx(np.ones(len(colours)))
    spend = splits.view(SPEND).query.labels
    assert np.corrcoef(spend, fitted[SPEND].scores)[0, 1] > 0.7


@pytest.mark.parametrize("name", ["logistic_regression", "lightgbm"])
def test_a_masked_concept_tells_a_baseline_nothing(splits: Splits, name: str) -> None:
    seen = replace(splits, masked=[np.zeros(0, dtype=np.int64)] * 4)
    query = splits.view(TRAVEL).query.labels
    assert auc(query, fit_baselines(seen, [name], "f1")[name][TRAVEL].scores) > 0.99
    assert auc(query, fit_baselines(splits, [name], "f1")[name][TRAVEL].scores) < 0.95


def test_masked_scores_do_not_depend_on_the_masked_concept_in_the_query(splits: Splits) -> None:
    view = splits.view(TRAVEL)
    column = splits.query.features[:, LABEL_CONCEPT].toarray()
    assert column.max() > 0
    assert view.query.features[:, LABEL_CONCEPT].toarray().max() == 0
    bare = without(splits.query.features, np.array([LABEL_CONCEPT]))
    assert row_scale(view.query.features) == pytest.approx(row_scale(bare))


@pytest.mark.parametrize("kind", ["linear", "trees"])
def test_a_validation_of_one_class_chooses_the_default(splits: Splits, kind: str) -> None:
    view = _with_validation_labels(splits.view(TRAVEL), 0.0)
    if kind == "linear":
        assert fit_linear(view.kind, view.classes, view.support, view.validation).strength == linear.DEFAULT
    else:
        features = (view.support.features, view.validation.features)
        assert trees.TreeFitter().fit(view, features)[2].tolist() == [trees.DEFAULT_ROUNDS]


def test_an_empty_query_is_no_error(splits: Splits) -> None:
    view = splits.view(TRAVEL)
    none = replace(view.query, features=view.query.features[:0], labels=view.query.labels[:0], rows=view.query.rows[:0])
    empty = replace(view, query=none)
    assert trees.TreeFitter().fit(empty, (view.support.features, view.validation.features))[1].shape == (0,)


def test_masking_leaves_the_matrix_itself_alone() -> None:
    features = csr_matrix(np.array([[1.0, 2.0], [0.0, 3.0]], np.float32))
    assert without(features, np.array([1])).toarray().tolist() == [[1, 0], [0, 0]]
    assert features.toarray().tolist() == [[1, 2], [0, 3]]


def test_what_was_fitted_before_is_read_not_fitted(tmp_path: Path) -> None:
    calls = []

    def fit() -> list[Fitted]:
        calls.append(1)
        return [Fitted(np.array([0.1, 0.9]), 0.5, {"C": 1.0}, 2.0), Fitted(np.ones((2, 3)), float("nan"), {}, 1.0)]

    first, second = (cached(tmp_path / "kept.npz", fit) for _ in range(2))
    assert calls == [1]
    assert [one.chosen for one in second] == [one.chosen for one in first]
    assert second[1].scores.shape == (2, 3)
    (tmp_path / "kept.npz").write_bytes(b"broken")
    cached(tmp_path / "kept.npz", fit)
    assert calls == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["kept.npz"]


def test_other_shards_or_settings_have_another_key() -> None:
    keys = {key_of("one", {"C": 1}), key_of("two", {"C": 1}), key_of("one", {"C": 2})}
    assert len(keys) == 3


def _with_validation_labels(view: View, label: float) -> View:
    return replace(view, validation=replace(view.validation, labels=np.full_like(view.validation.labels, label)))
