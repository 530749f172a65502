"""Training by several ranks: the same model as one process, and whole again after a rank was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import summary
from pipeline.config import Config, to_yaml
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.modelfolder import load_model
from pipeline.shards.dataset import open_shards
from pipeline.train import run
from pipeline.train.context import Context
from pipeline.train.distribution import World
from pipeline.train.validation import judge, score_pairs
from tests.conftest import REPOSITORY
from tests.pipeline.train.worlds import MIXED, config_for, write_world

torch.set_num_threads(1)
SETTINGS = (
    "train.hide=0.4",
    "train.lanes=2",
    "train.checkpoint_every=3",
    "train.sparse_embeddings=always",  # so that rows are exchanged beside the buffer of dense gradients
    "model.settings.linear_term=true",
)
TWO_RANKS = ("train.launcher=horovodrun", "train.ranks=2")


def log_lines(config: Config, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in Layout.of(config).train_log.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == kind]


def weights(config: Config) -> dict[str, torch.Tensor]:
    return load_model(Layout.of(config)).model.state_dict()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Config:
    workdir = tmp_path_factory.mktemp("alone")
    write_world(workdir, MIXED)
    config = config_for(workdir, *SETTINGS)
    run(config)
    return config


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two ranks, started as a user would: `horovodrun -np 2 python -m jobs.train`."""
    workdir = tmp_path_factory.mktemp("together")
    write_world(workdir, MIXED)
    config = config_for(workdir, *SETTINGS)
    (workdir / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    horovodrun = [sys.executable, "-m", "horovod.runner.launch", "--gloo", "-np", "2", "-H", "localhost:2"]
    job = ["--network-interfaces", "lo", sys.executable, "-m", "jobs.train", "--config", str(workdir / "config.yaml")]
    subprocess.run([*horovodrun, *job], check=True, cwd=REPOSITORY)
    return config


def test_two_ranks_and_one_process_have_the_same_loss_curve(alone: Config, together: Config) -> None:
    one, two = log_lines(alone, "step"), log_lines(together, "step")
    assert [line["step"] for line in two] == [line["step"] for line in one] == list(range(1, 17))
    for key in ("loss", "auxiliary_loss", "gradient_norm"):
        assert [line[key] for line in two] == pytest.approx([line[key] for line in one], rel=1e-3), key
    assert [line["learning_rate"] for line in two] == [line["learning_rate"] for line in one]


def test_two_ranks_and_one_process_end_with_the_same_model(alone: Config, together: Config) -> None:
    one, two = weights(alone), weights(together)
    for concept, heads in ((0, [0]), (1, [0]), (2, [1]), (3, [2, 3, 4])):
        # Masked, so never seen: the gradients that cancel there leave rounding errors, which Adam magnifies.
        one["linear.weight"][concept, heads] = two["linear.weight"][concept, heads] = 0
    for name, weight in two.items():
        torch.testing.assert_close(weight, one[name], rtol=1e-4, atol=1e-5, msg=name)
    before, after = (log_lines(config, "epoch")[-1]["validation"] for config in (alone, together))
    assert after["mean"] == pytest.approx(before["mean"], abs=1e-3)
    assert after["loss"] == pytest.approx(before["loss"], rel=1e-4)


def test_ranks_that_agree_now_and_then_end_with_one_model_and_send_less(together: Config, tmp_path: Path) -> None:
    write_world(tmp_path, MIXED)
    config = config_for(tmp_path, *SETTINGS, *TWO_RANKS, "train.sync_every=4")
    run(config)
    epochs = log_lines(config, "epoch")
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]
    facts = summary.read(Layout.of(config), "train")
    assert (facts["sync_every"], facts["ranks"]) == (4, 2)
    # What is sent is not a quarter, as the moving average is sent at the end of each epoch, and tables are small here.
    assert 0 < facts["bytes_summed"] < summary.read(Layout.of(together), "train")["bytes_summed"]
    # Both ranks have judged their half of the validation rows: what rank 0 left judges all of them alike.
    kept = next(line for line in epochs if line["epoch"] == epochs[-1]["best_epoch"])["validation"]
    shards = open_shards(Layout.of(config), checksums=False)
    context = Context.of(config, shards, World())
    model = load_model(Layout.of(config)).model
    scores = score_pairs(model, context, "validation", lambda batch: batch)
    found = judge(scores, shards.tasks, [task.group for task in shards.manifest.tasks])
    for name in ("large", "rare"):
        assert found.tasks[name]["loss"] == pytest.approx(kept["tasks"][name]["loss"], rel=1e-4)


def test_a_rank_killed_in_mid_epoch_and_the_run_resumed_ends_with_the_same_metrics(
    together: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_world(tmp_path, MIXED)
    config = config_for(tmp_path, *SETTINGS, *TWO_RANKS)
    monkeypatch.setenv("METACON_FAULT", "train:step:13:rank:1")
    with pytest.raises(RuntimeError, match="run it again to go on from the last checkpoint"):
        run(config)
    assert not Layout.of(config).model.exists()
    monkeypatch.delenv("METACON_FAULT")
    run(config)
    assert log_lines(config, "epoch")[-1]["validation"] == log_lines(together, "epoch")[-1]["validation"]
    for name, weight in weights(together).items():
        assert torch.equal(weight, weights(config)[name]), name
    assert [line["step"] for line in log_lines(config, "step")] == list(range(1, 17))


def test_a_loss_that_is_not_finite_on_one_rank_stops_both_naming_the_task(tmp_path: Path) -> None:
    write_world(tmp_path, spoil="rare")
    config = config_for(tmp_path, *SETTINGS, *TWO_RANKS)
    with pytest.raises(UserError, match=r"not a finite number, of task rare;"):
        run(config)
    assert not (tmp_path / "train_error.txt").exists()
    assert "METACON_FAULT" not in os.environ
