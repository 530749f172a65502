"""Checkpoints: whole or not there, the last two of a run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from pipeline.errors import UserError
from pipeline.train.checkpoint import (
    Progress,
    fingerprint,
    latest_checkpoint,
    read_checkpoint,
    remove_checkpoints,
    write_checkpoint,
)
from tests.pipeline.train.worlds import config_for


def write(root: Path, step: int, of: str = "mine") -> None:
    progress = Progress(fingerprint=of, step=step, epoch_loss=0.1 + 0.2)
    write_checkpoint(root, progress, {"model": {"w": torch.full((2,), float(step))}, "average": {}})


def test_read_back_as_written(tmp_path: Path) -> None:
    write(tmp_path, 3)
    found = latest_checkpoint(tmp_path, "mine")
    assert found is not None
    checkpoint = read_checkpoint(found)
    assert checkpoint.progress == Progress(fingerprint="mine", step=3, epoch_loss=0.1 + 0.2)
    assert checkpoint.part("model")["w"].tolist() == [3.0, 3.0]
    assert checkpoint.part("average") == {}


def test_the_last_two_are_kept_and_the_newest_is_found(tmp_path: Path) -> None:
    for step in (8, 16, 24):
        write(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000016-mine", "step-00000024-mine"]
    assert latest_checkpoint(tmp_path, "mine") == tmp_path / "step-00000024-mine"


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 8)
    write(tmp_path, 16)
    damaged = tmp_path / "step-00000016-mine" / name
    damaged.write_bytes(damaged.read_bytes()[:-7])
    with caplog.at_level(logging.WARNING):
        assert latest_checkpoint(tmp_path, "mine") == tmp_path / "step-00000008-mine"
    assert "step-00000016-mine" in caplog.text
    with pytest.raises(UserError, match="not a whole checkpoint"):
        read_checkpoint(damaged.parent)


def test_a_checkpoint_of_another_configuration_is_not_resumed_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 99, of="other")
    with caplog.at_level(logging.WARNING):
        assert latest_checkpoint(tmp_path, "mine") is None
    assert "another configuration" in caplog.text
    write(tmp_path, 1)
    assert latest_checkpoint(tmp_path, "mine") == tmp_path / "step-00000001-mine"
    assert latest_checkpoint(tmp_path, "other") is not None


def test_what_a_killed_writer_left_is_no_checkpoint_and_is_removed(tmp_path: Path) -> None:
    left_over = tmp_path / ".writing-step-00000008-mine-1"
    left_over.mkdir()
    assert latest_checkpoint(tmp_path, "mine") is None
    write(tmp_path, 8)
    assert not left_over.exists()


def test_removing_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path, 8)
    write(tmp_path, 8, of="other")
    remove_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_fingerprint_follows_what_is_learnt_not_how_it_is_run(tmp_path: Path) -> None:
    def of(*overrides: str, manifest: dict[str, int] | None = None) -> str:
        return fingerprint(config_for(tmp_path, *overrides), manifest or {"rows": 1})

    same = of()
    assert of("train.launcher=horovodrun", "train.ranks=2", "train.threads=2", "train.checkpoint_every=3") == same
    assert of("train.learning_rate=0.01") != same
    assert of("model.settings.dropout=0.5") != same
    assert of(manifest={"rows": 2}) != same


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path / "file", 1)
