"""The model folder: written whole, read back the same, refused when damaged or foreign."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.batch import Batch
from models.masks import TaskMasks
from models.registry import build_model
from pipeline.errors import UserError
from pipeline.modelfolder import (
    SPEC,
    WEIGHTS,
    Architecture,
    ModelSpec,
    TaskSpec,
    check_vocabulary,
    load_model,
    write_model,
)

SETTINGS = {"embedding_dim": 4, "experts": 2, "expert_layers": 1, "expert_width": 4, "gate_hidden": 0}
TASKS = [
    TaskSpec(name="travel", group="large"),
    TaskSpec(name="colour", kind="multiclass", outputs=3, classes=["red", "green", "blue"]),
]
MASKS = [[1, 3], [2]]


def make_model(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    masks = TaskMasks(MASKS, vocabulary_size=6)
    return build_model("metaaug", [task.task() for task in TASKS], masks, torch.tensor([0, 0, 1, 1, 2, 2]), SETTINGS)


def make_spec(**changes: object) -> ModelSpec:
    facts = {
        "architecture": Architecture(name="metaaug", settings=SETTINGS),
        "vocabulary_hash": "abc",
        "vocabulary_size": 6,
        "tasks": TASKS,
        "thresholds": {"travel": 0.25},
    }
    return ModelSpec(**(facts | changes))


def make_batch() -> Batch:
    batch = Batch(
        concept_ids=torch.tensor([0, 1, 3, 2, 5]),
        concept_weights=torch.tensor([1.0, 0.5, 2.0, 1.0, 1.0]),
        row_offsets=torch.tensor([0, 3, 5]),
        pair_rows=torch.zeros(0, dtype=torch.int64),
        pair_tasks=torch.zeros(0, dtype=torch.int64),
        labels=torch.zeros(0),
    )
    return batch.with_all_tasks(2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", make_model(), make_spec())


def test_a_model_read_back_scores_the_same_and_keeps_its_masks(folder: Path) -> None:
    loaded = load_model(folder.parent)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(make_batch()), make_model().eval()(make_batch()), rtol=0, atol=0)
    assert loaded.spec.thresholds == {"travel": 0.25}
    assert [task.classes for task in loaded.spec.tasks] == [[], ["red", "green", "blue"]]
    assert not loaded.model.training


def test_a_loaded_model_is_masked_as_trained(folder: Path) -> None:
    """Concept 2 is in the mask of task 1 only: its weight moves task 0 and not task 1."""
    model = load_model(folder).model
    batch = make_batch()
    heavier = torch.where(batch.concept_ids == 2, 9.0, batch.concept_weights)
    with torch.no_grad():
        moved = (model(batch) - model(Batch(**_parts(batch) | {"concept_weights": heavier}))).abs().amax(1)
    in_row_1 = batch.pair_rows == 1
    assert moved[in_row_1 & (batch.pair_tasks == 0)] > 1e-4
    assert moved[in_row_1 & (batch.pair_tasks == 1)] < 1e-7


def _parts(batch: Batch) -> dict[str, torch.Tensor]:
    return {name: getattr(batch, name) for name in Batch.__dataclass_fields__}


def test_version_follows_the_content(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a", make_model(), make_spec())
    again = write_model(tmp_path / "b", make_model(), make_spec())
    other = write_model(tmp_path / "b", make_model(seed=1), make_spec())
    assert first.name == again.name != other.name
    assert load_model(tmp_path / "b").version == other.name


def test_no_model_names_the_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the train stage first"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("name", [WEIGHTS, SPEC])
@pytest.mark.parametrize("damage", ["truncated", "altered", "missing", "empty"])
def test_damaged_files_are_refused_by_name(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "altered":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    with pytest.raises(UserError, match=name):
        load_model(folder)


def test_a_pickled_model_is_refused_and_never_loaded(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(pickle.dumps({"weight": [1.0]}))
    with pytest.raises(UserError, match=WEIGHTS):
        load_model(folder)


def test_foreign_json_is_refused(folder: Path) -> None:
    (folder / SPEC).write_text(json.dumps({"model_type": "bert", "hidden_size": 768}), encoding="utf-8")
    with pytest.raises(UserError, match="schema_version"):
        load_model(folder)


def test_foreign_weights_with_a_fitting_checksum_are_refused(folder: Path) -> None:
    import hashlib

    save_file({"encoder.weight": torch.zeros(2, 2)}, folder / WEIGHTS)
    spec = json.loads((folder / SPEC).read_text(encoding="utf-8"))
    spec["weights_sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / SPEC).write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(UserError, match="do not make a 'metaaug' model"):
        load_model(folder)


def test_settings_that_do_not_fit_the_weights_are_refused(folder: Path) -> None:
    spec = json.loads((folder / SPEC).read_text(encoding="utf-8"))
    spec["architecture"]["settings"]["expert_width"] = 8
    (folder / SPEC).write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(UserError, match="do not make a 'metaaug' model"):
        load_model(folder)


def test_another_vocabulary_is_refused_naming_both() -> None:
    check_vocabulary(make_spec(), "abc", "shards")
    with pytest.raises(UserError, match=r"work/shards: vocabulary def is not the one .*\(abc\)"):
        check_vocabulary(make_spec(), "def", "work/shards")


def test_reading_a_model_needs_neither_spark_nor_horovod() -> None:
    code = "import sys, pipeline.modelfolder; print(sorted({'pyspark', 'horovod', 'petastorm'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
