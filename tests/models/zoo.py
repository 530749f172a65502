"""Every model of the registry at a small size, with the chains it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from models.masked import MaskedModel
from models.masks import TaskMasks
from models.registry import build_model
from models.task import Task

COMMON: dict[str, Any] = {"embedding_dim": 6}
SMALL: dict[str, dict[str, Any]] = {
    "metaaug": {"expert_layers": 2, "expert_width": 5, "gate_hidden": 3, "tower_hidden": 4},
    "mmoe": {"experts": 2, "expert_layers": 2, "expert_width": 5, "tower_hidden": 4},
    "shared_bottom": {"bottom_widths": [5, 4], "tower_hidden": 3},
}


def make(name: str, masks: Sequence[Sequence[int]], vocabulary: int, outputs: Sequence[int], **settings: Any) -> Any:
    """A small model in float64, all parameters random; outputs: of each task (1: binary, more: multiclass).

    Concept c is of field c modulo 3.
    """
    torch.manual_seed(0)
    tasks = [Task(name=f"task{i}", kind="binary" if n == 1 else "multiclass", outputs=n) for i, n in enumerate(outputs)]
    fields = torch.arange(vocabulary) % 3
    model = build_model(name, tasks, TaskMasks(masks, vocabulary), fields, {**COMMON, **SMALL[name], **settings})
    assert isinstance(model, MaskedModel)
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model
