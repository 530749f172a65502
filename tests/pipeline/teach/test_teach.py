"""Soft targets: said by those that have not seen the label, of the support alone, and of these very shards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.special import expit

from pipeline import faults, summary, teach, train
from pipeline.classical.views import Side, side_of
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.evaluate.metrics import auc
from pipeline.layout import Layout
from pipeline.modelfolder import load_model
from pipeline.shards import taught
from pipeline.shards.batches import load_csr
from pipeline.shards.dataset import ShardSet, open_folder, open_shards
from pipeline.shards.taught import open_taught, taught_from
from pipeline.shards.writer import TaskSpec
from pipeline.teach import teachers
from pipeline.teach.teachers import Said, blend, folds_of, hear
from tests.pipeline.evaluate.world import TASKS
from tests.pipeline.evaluate.world import write_world as write_labelled_world
from tests.pipeline.train.worlds import BINARY, MIXED, config_for, write_world

SOFT = "train.targets=soft"
FOLDS = 3


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teachers, "ROUNDS", 30)


def soft(workdir: Path, *overrides: str) -> Config:
    return config_for(workdir, SOFT, f"teach.folds={FOLDS}", *overrides)


def labels_by_task(shards: ShardSet, split: str) -> Iterator[np.ndarray]:
    matrix = load_csr(shards, split)
    for task_id in range(len(shards.tasks)):
        yield matrix.of_task(task_id)[1]


def test_only_binary_labels_of_the_support_change(tmp_path: Path) -> None:
    write_world(tmp_path, MIXED)
    config = soft(tmp_path, "teach.weight=0.8")
    teach.run(config)
    before, after = open_shards(Layout.of(config)), open_taught(Layout.of(config))
    for split in ("validation", "query"):
        for old, new in zip(before.manifest.splits[split].files, after.manifest.splits[split].files, strict=True):
            assert old == new
    old, new = load_csr(before, "support"), load_csr(after, "support")
    assert old.entity_ids == new.entity_ids
    assert (old.features != new.features).nnz == 0
    np.testing.assert_array_equal(old.pair_tasks, new.pair_tasks)
    for task, hard, target in zip(
        before.tasks, labels_by_task(before, "support"), labels_by_task(after, "support"), strict=True
    ):
        if task.kind != "binary":
            np.testing.assert_array_equal(hard, target)
            continue
        said = (target - 0.2 * hard) / 0.8  # what teachers say is left when the label's share is taken out
        assert ((said > 0) & (said < 1)).all()
        assert said[hard == 1].mean() > said[hard == 0].mean() + 0.1


def test_what_is_said_of_a_row_does_not_depend_on_its_label(tmp_path: Path) -> None:
    """Else the target would be the label again."""
    shards = open_folder(write_world(tmp_path))
    matrices = [load_csr(shards, split) for split in ("support", "validation")]
    support, validation = (side_of(matrix, 0, shards.masked_concepts()[0]) for matrix in matrices)
    held = folds_of(support.labels, FOLDS)[1]
    flipped = support.labels.copy()
    flipped[held] = 1 - flipped[held]
    one, other = (
        hear(Side(support.features, labels, support.rows), validation, held) for labels in (support.labels, flipped)
    )
    np.testing.assert_array_equal(one.linear, other.linear)
    np.testing.assert_array_equal(one.trees, other.trees)


@pytest.mark.parametrize("masked", [True, False])
def test_teachers_do_not_see_what_the_task_may_not(tmp_path: Path, masked: bool) -> None:
    """Concept 0 of this world is the label itself: teachers that see it tell positives from negatives without fail."""
    tasks = TASKS if masked else (replace(TASKS[0], mask=[]), *TASKS[1:])
    write_labelled_world(tmp_path, tasks)
    config = soft(tmp_path)
    teach.run(config)
    hard, targets = (
        load_csr(shards, "support").of_task(0)[1]
        for shards in (open_shards(Layout.of(config)), open_taught(Layout.of(config)))
    )
    said = targets - (1 - config.teach.weight) * hard
    assert auc(hard, said) > 0.7
    assert (auc(hard, said) == 1) is not masked


def test_folds_hold_every_row_once_and_want_enough_of_each_class() -> None:
    labels = np.array([1, 0, 0, 1, 0, 1, 0, 0, 0], dtype=np.float32)
    folds = folds_of(labels, 3)
    assert sorted(np.concatenate(folds).tolist()) == list(range(9))
    assert [labels[held].sum() for held in folds] == [1, 1, 1]
    assert folds_of(labels, 4) == []


def test_the_blend_is_the_share_with_the_least_loss() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=4000)
    labels = (rng.random(4000) < expit(truth)).astype(np.float32)
    folds = [np.arange(0, 4000, 2), np.arange(1, 4000, 2)]
    off = rng.normal(size=4000)
    right = blend(labels, [Said(truth[held], off[held]) for held in folds], folds)
    assert right.share >= 0.9
    assert right.losses["blend"] <= min(right.losses["logistic_regression"], right.losses["lightgbm"])
    # Errors that cancel out: half of each is the truth.
    halves = blend(labels, [Said((truth + off)[held], (truth - off)[held]) for held in folds], folds)
    assert halves.share == pytest.approx(0.5, abs=0.11)
    np.testing.assert_allclose(right.probabilities, expit(right.share * truth + (1 - right.share) * off), rtol=1e-12)


def test_a_model_learns_from_soft_targets_and_is_judged_by_labels(tmp_path: Path) -> None:
    write_world(tmp_path)
    config = soft(tmp_path, "train.epochs=4", "train.linear_start=logistic", "model.settings.linear_term=true")
    teach.run(config)
    train.run(config)
    assert summary.read(Layout.of(config), "train")["validation_auc"] > 0.8
    plain = config_for(tmp_path, "train.epochs=4", "train.linear_start=logistic", "model.settings.linear_term=true")
    other = load_model(Layout.of(config)).model.state_dict()
    train.run(plain)
    assert any((value != other[name]).any() for name, value in load_model(Layout.of(plain)).model.state_dict().items())
    told = summary.read(Layout.of(config), "teach")["segments"]
    assert set(told) == {"large", "rare"}
    assert all(one["blend"] <= one["lightgbm"] for one in told.values())


def test_read_outs_under_a_prior_take_soft_targets(tmp_path: Path) -> None:
    write_world(tmp_path)
    config = soft(tmp_path, "model.settings.tower_hidden=0", "train.readouts=prior")
    teach.run(config)
    train.run(config)
    taught_model = load_model(Layout.of(config)).model.state_dict()
    train.run(soft(tmp_path, "model.settings.tower_hidden=0", "train.readouts=trained"))
    trained = load_model(Layout.of(config)).model.state_dict()
    assert (taught_model["towers.last"] != trained["towers.last"]).any()


def test_the_same_again_is_not_made_again_and_other_settings_are(tmp_path: Path) -> None:
    write_world(tmp_path)
    config = soft(tmp_path)
    teach.run(config)
    layout = Layout.of(config)
    first = (layout.taught / "CURRENT").read_text()
    content = files_of(open_taught(layout).folder)
    teach.run(config)
    assert (layout.taught / "CURRENT").read_text() == first
    teach.run(soft(tmp_path, "teach.weight=0.5"))
    assert taught_from(open_taught(layout))["weight"] == 0.5
    teach.run(config)
    assert files_of(open_taught(layout).folder) == content  # the same bytes, whenever they are made


def test_a_killed_stage_leaves_the_last_good_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_world(tmp_path)
    layout = Layout.of(soft(tmp_path))
    teach.run(soft(tmp_path))
    content = files_of(open_taught(layout).folder)

    class Killed(Exception):
        pass

    def point(name: str) -> None:
        if name == "teach:before-manifest":
            raise Killed

    monkeypatch.setattr(taught, "fault_point", point)
    with pytest.raises(Killed):
        teach.run(soft(tmp_path, "teach.weight=0.5"))
    assert files_of(open_taught(layout).folder) == content
    monkeypatch.setattr(taught, "fault_point", faults.fault_point)
    teach.run(soft(tmp_path, "teach.weight=0.5"))
    assert taught_from(open_taught(layout))["weight"] == 0.5


def test_targets_of_other_shards_are_refused(tmp_path: Path) -> None:
    write_world(tmp_path)
    config = soft(tmp_path)
    teach.run(config)
    write_world(tmp_path, rows={"support": 128, "validation": 96, "query": 32})
    with pytest.raises(UserError, match=r"soft targets of other shards .* run the teach stage again"):
        train.run(config)
    teach.run(config)
    assert open_taught(Layout.of(config)).manifest.splits["support"].rows == 128


def test_bad_input_is_refused_before_work(tmp_path: Path) -> None:
    write_world(tmp_path)
    with pytest.raises(UserError, match=r"no soft targets here; run the teach stage first"):
        train.run(soft(tmp_path))
    with pytest.raises(UserError, match=r"the support has 256 rows.*raise teach.max_rows"):
        teach.run(soft(tmp_path, "teach.max_rows=100"))
    with pytest.raises(UserError, match=r"train.targets: soft knows no chains"):
        soft(tmp_path, "chains=[[large, rare]]")
    teach.run(soft(tmp_path))
    altered = next((open_taught(Layout.of(soft(tmp_path))).folder / "support").iterdir())
    altered.write_bytes(altered.read_bytes()[:-1])
    with pytest.raises(UserError, match="truncated"):
        train.run(soft(tmp_path))


def test_a_segment_with_too_few_positives_keeps_its_labels(tmp_path: Path) -> None:
    """More folds than positives: nothing is said, and the manifest's counts stay those of labels."""
    write_world(tmp_path, (*BINARY, TaskSpec(name="spend", kind="regression", group="large")))
    positives = open_shards(Layout.of(soft(tmp_path))).manifest.tasks[1].positives["support"]
    config = soft(tmp_path, f"teach.folds={positives + 1}")
    teach.run(config)
    before, after = open_shards(Layout.of(config)), open_taught(Layout.of(config))
    hard, targets = (list(labels_by_task(shards, "support")) for shards in (before, after))
    np.testing.assert_array_equal(hard[1], targets[1])
    assert (hard[0] != targets[0]).all()
    assert before.manifest.tasks == after.manifest.tasks


def test_nothing_is_done_where_labels_are_learnt(tmp_path: Path) -> None:
    write_world(tmp_path)
    teach.run(config_for(tmp_path))
    assert not Layout.of(config_for(tmp_path)).taught.exists()
    assert not teach.is_needed(config_for(tmp_path))


def files_of(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert json.loads(found["manifest.json"])["checksums"]["taught.json"]
    assert pq.read_metadata(folder / "vocabulary.parquet").num_rows == 60
    return found
