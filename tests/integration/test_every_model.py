"""Every model through the same trainer, checkpoint, model folder and scorer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from models.registry import MODELS
from pipeline.config import Config, load_config, to_yaml
from pipeline.layout import Layout
from pipeline.modelfolder import load_model
from pipeline.score.heads import Heads
from pipeline.score.partition import score_batch
from pipeline.train import loop, run
from tests.conftest import REPOSITORY
from tests.models.zoo import CASES
from tests.pipeline.train.worlds import MIXED, write_world


class Killed(Exception):
    """Stands for a kill in the middle of a step."""


def config_of(case: str, workdir: Path, *more: str) -> Config:
    """2 epochs of 4 steps."""
    settings = {key: value for key, value in CASES[case].items() if key != "chains"}
    model: dict[str, Any] = {"name": case.split()[0], "settings": {"embedding_dim": 6, "dropout": 0.2, **settings}}
    overrides = [
        f"run.workdir={workdir}",
        f"model={yaml.safe_dump(model, default_flow_style=True)}",
        "chains=[[large, rare]]",
        "train={epochs: 2, batch_size: 64, lanes: 2, learning_rate: 0.02, threads: 1, hide: 0.3, checkpoint_every: 3}",
        "train.auxiliary={tasks: 20, weight: 0.05}",
    ]
    return load_config([], [*overrides, *more])


def test_the_cases_are_the_registry() -> None:
    assert {case.split()[0] for case in CASES} == set(MODELS)


@pytest.mark.parametrize("case", sorted(CASES))
def test_trains_resumes_and_scores(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run killed in its second epoch and resumed leaves the model of one never killed, and that scores rows."""
    whole, killed = config_of(case, tmp_path / "whole"), config_of(case, tmp_path / "killed")
    for config in (whole, killed):
        write_world(Path(config.run.workdir), MIXED, rows={"support": 256, "validation": 64, "query": 8})
    run(whole)

    def point(name: str) -> None:
        if name == "train:step:7:rank:0":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, "fault_point", point)
        with pytest.raises(Killed):
            run(killed)
    run(killed)
    found, resumed = load_model(Layout.of(whole)), load_model(Layout.of(killed))
    weights = resumed.model.state_dict()
    for name, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert found.spec.training["steps"] == 8

    vectors = pa.record_batch(
        [
            pa.array(["a", "b", "c"]),
            pa.array([[0, 2, 12], [], [3, 15, 41]], pa.list_(pa.int32())),
            pa.array([[1.0, 2.0, 0.5], [], [1.0, 1.0, 3.0]], pa.list_(pa.float32())),
        ],
        names=["entity_id", "concept_ids", "concept_weights"],
    )
    heads = Heads.of(found.spec.tasks, found.spec.thresholds)
    rows = np.array(score_batch(found.model, heads, vectors).column("scores").to_pylist())
    assert rows.shape == (3, len(heads.names))
    assert np.isfinite(rows).all()
    scores = dict(zip(heads.names, rows.T, strict=True))
    assert scores.pop("spend").mean() > 300  # in the label's own units
    assert all(0 <= score <= 1 for column in scores.values() for score in column)
    colours = sum(column for name, column in scores.items() if name.startswith("colour="))
    assert colours == pytest.approx([1, 1, 1])


def test_two_ranks_train_every_model_as_one_process_does(tmp_path: Path) -> None:
    """The same losses, step by step, up to rounding; one job of two ranks trains them all."""
    alone, together, paths = {}, {}, []
    for case in sorted(CASES):
        for configs, place in ((alone, "alone"), (together, "together")):
            workdir = tmp_path / place / case.replace(" ", "-")
            configs[case] = config_of(case, workdir, "model.settings.dropout=0.0", "train.epochs=1")
            write_world(workdir, MIXED, rows={"support": 256, "validation": 64, "query": 8})
        run(alone[case])
        paths.append(Path(together[case].run.workdir) / "config.yaml")
        paths[-1].write_text(to_yaml(together[case]), encoding="utf-8")
    horovodrun = [sys.executable, "-m", "horovod.runner.launch", "--gloo", "-np", "2", "-H", "localhost:2"]
    job = ["--network-interfaces", "lo", sys.executable, "-m", "tests.integration.train_many", *map(str, paths)]
    subprocess.run([*horovodrun, *job], check=True, cwd=REPOSITORY)
    for case in CASES:
        assert losses(together[case]) == pytest.approx(losses(alone[case]), rel=2e-3), case
        assert load_model(Layout.of(together[case])).spec.training["steps"] == 4


def losses(config: Config) -> list[float]:
    lines = [json.loads(line) for line in Layout.of(config).train_log.read_text(encoding="utf-8").splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "step"]
