"""PLE, progressive layered extraction: CGC's layers stacked (Tang et al., RecSys 2020, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from models.layers.extraction import Extraction
from models.layers.task_towers import TaskTowers
from models.masked import at_least
from models.masks import TaskMasks
from models.task import Task
from models.taskwise import TaskwiseModel


class PLE(TaskwiseModel):
    """logits_i = Tower_i(own_i) of the last of `levels` extraction layers, see models/layers/extraction.py.

    Sizes are MetaCon's (section 7): 1 shared and 2 own experts of 256, 256, gates 16, 16, towers 32, 32.
    """

    towers: TaskTowers

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        levels: int = 2,
        task_experts: int = 2,
        shared_experts: int = 1,
        expert_widths: Sequence[int] = (256, 256),
        gate_widths: Sequence[int] = (16, 16),
        tower_widths: Sequence[int] = (32, 32),
        **common: Any,
    ) -> None:
        """task_experts: of each task. gate_widths: hidden layers. `common`: the settings of MaskedModel."""
        super().__init__(tasks, masks, fields, **common)
        at_least(1, levels=levels, task_experts=task_experts, shared_experts=shared_experts)
        self.levels = nn.ModuleList()
        width = self.embedding_dim
        for level in range(levels):
            layer = Extraction(
                len(tasks),
                task_experts,
                shared_experts,
                width,
                expert_widths,
                gate_widths,
                self.dropout,
                shared_output=level < levels - 1,
            )
            self.levels.append(layer)
            width = layer.width
        self.towers = TaskTowers([task.outputs for task in tasks], width, tower_widths, self.dropout)
        self.finish(len(tasks), width)

    def task_networks(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """What all tasks share comes from all tasks' experts: up to the last level but one these compute all views."""
        own, shared = x if len(self.levels) > 1 else x[seen], x
        for number, level in enumerate(self.levels):
            own, shared = level(own, shared, seen if number >= len(self.levels) - 2 else None)
        return self.towers(own), own
