"""Towers fitted anew after training: whose numbers move, and which models it is for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.config import load_config
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.modelfolder import load_model
from pipeline.train import run
from pipeline.train.build import check_model
from tests.pipeline.train.worlds import BINARY, MIXED, config_for, write_world

LINEAR = (
    "model.settings={embedding_dim: 8, experts: 2, expert_layers: 1, expert_width: 8, gate_hidden: 0, tower_hidden: 0}"
)


@pytest.mark.parametrize("linear_term", ["false", "true"])
def test_towers_of_binary_segments_move_and_nothing_else(tmp_path: Path, linear_term: str) -> None:
    found, judged = {}, {}
    for readouts in ("trained", "prior"):
        workdir = tmp_path / readouts
        write_world(workdir, MIXED)
        more = [LINEAR, f"model.settings.linear_term={linear_term}", "model.members=2", "train.epochs=2"]
        config = config_for(workdir, *more, f"train.readouts={readouts}")
        run(config)
        loaded = load_model(Layout.of(config))
        found[readouts], judged[readouts] = loaded.model.state_dict(), loaded.spec.metrics["validation"]
    binary = [0, 1]
    for name, trained in found["trained"].items():
        prior = found["prior"][name]
        if name.endswith(("towers.last", "towers.bias")):
            assert not torch.isclose(trained[..., binary], prior[..., binary]).all(), name
            assert torch.equal(trained[..., 2:], prior[..., 2:]), name
        else:
            assert torch.equal(trained, prior), name
    assert judged["trained"]["loss"] != judged["prior"]["loss"]
    assert judged["trained"]["tasks"]["spend"] == judged["prior"]["tasks"]["spend"]


def test_a_support_too_large_to_be_held_keeps_its_trained_towers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pipeline.train.readouts._MAX_NUMBERS", 255 * len(BINARY) * 8)
    found = []
    for readouts in ("trained", "prior"):
        write_world(tmp_path / readouts)
        config = config_for(tmp_path / readouts, LINEAR, "train.epochs=1", f"train.readouts={readouts}")
        run(config)
        found.append(load_model(Layout.of(config)).model.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert "the support has 256 rows, over 255" in caplog.text


@pytest.mark.parametrize("model", ["model={name: ple, settings: {}}", "model.settings={tower_hidden: 4}"])
def test_models_without_linear_towers_are_refused(model: str) -> None:
    with pytest.raises(UserError, match=r"train\.readouts: prior is for the linear towers"):
        check_model(load_config([], [model, "train.readouts=prior"]))


def test_chains_are_refused() -> None:
    segments = "segments=[{name: a, label: {source: s, expression: x}}, {name: b, label: {source: s, expression: y}}]"
    sources = "sources=[{name: s, path: p, entity: e}]"
    model = "model.settings={tower_hidden: 0}"
    with pytest.raises(UserError, match="prior knows no chains"):
        check_model(load_config([], [sources, segments, "chains=[[a, b]]", model, "train.readouts=prior"]))
