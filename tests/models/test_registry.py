"""Models by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.masks import TaskMasks
from models.metaaug import MetaAug
from models.registry import build_model, check_settings, setting_types
from models.task import Task
from tests.models.examples import SMALL


def build(name: str, settings: dict[str, Any]) -> torch.nn.Module:
    return build_model(name, [Task(name="a")], TaskMasks([[]], 4), torch.zeros(4, dtype=torch.int64), settings)


def test_builds_a_model_with_its_settings() -> None:
    model = build("metaaug", {**SMALL, "experts": 2, "dropout": 0, "linear_term": True})
    assert isinstance(model, MetaAug)
    assert model.experts.experts == 2


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'metaug'; the models are .*metaaug"):
        build("metaug", {})


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'expert_layer'; the nearest is expert_layers"):
        check_settings("metaaug", {"expert_layer": 3})


@pytest.mark.parametrize(
    ("key", "value"), [("experts", "3"), ("experts", 3.0), ("experts", True), ("dropout", "a"), ("linear_term", 1)]
)
def test_a_setting_of_the_wrong_type_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        check_settings("metaaug", {key: value})


@pytest.mark.parametrize(
    "settings", [{"experts": 0}, {"gate_hidden": -1}, {"norm_offset": 0.0}, {"dropout": 1.0}, {"auxiliary": 5}]
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        build("metaaug", settings)


def test_the_papers_sizes_are_the_defaults() -> None:
    model = MetaAug.__init__.__kwdefaults__
    assert {k: model[k] for k in ("experts", "expert_layers", "expert_width", "gate_hidden", "tower_hidden")} == {
        "experts": 3,
        "expert_layers": 6,
        "expert_width": 512,
        "gate_hidden": 32,
        "tower_hidden": 32,
    }
    assert {*model, "dropout", "norm_offset", "auxiliary"} <= set(setting_types("metaaug"))
