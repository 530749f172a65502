"""Every model of the registry at a small size, with the chains it needs.

A case is a model's name, or that and a word for a variant of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from models.masked import MaskedModel
from models.masks import TaskMasks
from models.registry import build_model
from models.task import Task

COMMON: dict[str, Any] = {"embedding_dim": 6}
CASES: dict[str, dict[str, Any]] = {
    "metaaug": {"expert_layers": 2, "expert_width": 5, "gate_hidden": 3, "tower_hidden": 4},
    "metaaug crosses": {"expert_layers": 1, "expert_width": 5, "gate_hidden": 0, "tower_hidden": 4, "crosses": 2},
    "mmoe": {"experts": 2, "expert_layers": 2, "expert_width": 5, "tower_hidden": 4},
    "apem": {"layers": 2, "points": 4, "selector_hidden": 5, "tower_widths": [4], "chains": [[0, 1]]},
    "apem square": {"layers": 1, "points": 3, "selector_hidden": 5, "tower_widths": []},
    "apem asrg": {"asrg": False, "layers": 2, "tower_widths": [4]},
    "apem selector": {
        **{"pattern_selector": False, "layers": 2, "points": 4, "selector_hidden": 5, "tower_widths": [4]},
        **{"field_products": True},
    },
    "apem fields": {
        **{"layers": 1, "points": 4, "selector_hidden": 5, "tower_widths": [4]},
        **{"field_widths": [5], "field_products": True, "selector_norm": True},
    },
    "cgc": {"task_experts": 2, "shared_experts": 1, "expert_widths": [9], "tower_widths": [8]},
    "dcn": {"deep_widths": [5, 4], "cross_width": 6},
    "dcn concepts": {"deep_widths": [5, 4], "cross_width": 6, "concept_fields": True},
    "dcn_mix": {"deep_widths": [5, 4], "cross_width": 6, "experts": 2, "rank": 3},
    "esmm": {"widths": [5, 4], "chains": [[0, 1]]},
    "escm2": {"widths": [5, 4], "chains": [[0, 1]]},
    "escm2 ipw": {"widths": [5, 4], "chains": [[0, 1]], "kind": "ipw"},
    "aitm": {"widths": [5, 4], "chains": [[0, 1]]},
    "ple": {"expert_widths": [5, 4], "gate_widths": [3], "tower_widths": [4]},
    "single_task": {"widths": [5, 4]},
    "wdl": {"deep_widths": [5, 4]},
    "shared_bottom": {"bottom_widths": [5, 4], "tower_hidden": 3},
}


def build(name: str, tasks: Sequence[Task], masks: TaskMasks, fields: torch.Tensor, **settings: Any) -> Any:
    """The model of a case, as it starts."""
    return build_model(name.split()[0], tasks, masks, fields, {**COMMON, **CASES[name], **settings})


def make(name: str, masks: Sequence[Sequence[int]], vocabulary: int, outputs: Sequence[int], **settings: Any) -> Any:
    """A small model in float64, all parameters random; outputs: of each task (1: binary, more: multiclass).

    Concept c is of field c modulo 3.
    """
    torch.manual_seed(0)
    tasks = [Task(name=f"task{i}", kind="binary" if n == 1 else "multiclass", outputs=n) for i, n in enumerate(outputs)]
    fields = torch.arange(vocabulary) % 3
    model = build(name, tasks, TaskMasks(masks, vocabulary), fields, **settings)
    assert isinstance(model, MaskedModel)
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


def input_of(model: Any, concepts: dict[int, float]) -> torch.Tensor:
    """[dim]: the normalised input of one row, in plain arithmetic."""
    x = sum((w * model.embedding.weight[c] for c, w in concepts.items()), torch.zeros((), dtype=torch.float64))
    return x / (model.norm_offset + sum(concepts.values())) ** 0.5


def fields_of(model: Any, concepts: dict[int, float]) -> torch.Tensor:
    """[fields, dim]: the same for each field of a row; concept c is of field c modulo 3."""
    by_field = [{c: w for c, w in concepts.items() if c % 3 == field} for field in range(3)]
    return torch.stack([input_of(model, mine).expand(model.embedding_dim) for mine in by_field])


def mlp(networks: Any, copy: int, x: torch.Tensor) -> torch.Tensor:
    """One of the networks of models/layers/networks.py on one input."""
    for weight, bias in zip(networks.weights, networks.biases, strict=True):
        x = torch.relu(x @ weight[copy] + bias[copy, 0])
    return x
