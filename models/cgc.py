"""CGC, customized gate control: own and shared experts in one layer (Tang et al., RecSys 2020, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from models.layers.extraction import Extraction
from models.layers.task_towers import TaskTowers
from models.masked import at_least
from models.masks import TaskMasks
from models.task import Task
from models.taskwise import TaskwiseModel


class CGC(TaskwiseModel):
    """logits_i = Tower_i(own_i), see models/layers/extraction.py. Sizes are AutoMTL's (section 4.1.4)."""

    towers: TaskTowers

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        task_experts: int = 4,
        shared_experts: int = 4,
        expert_widths: Sequence[int] = (256,),
        gate_widths: Sequence[int] = (),
        tower_widths: Sequence[int] = (128, 64),
        **common: Any,
    ) -> None:
        """task_experts: of each task. gate_widths: hidden layers. `common`: the settings of MaskedModel."""
        super().__init__(tasks, masks, fields, **common)
        at_least(1, task_experts=task_experts, shared_experts=shared_experts)
        self.extraction = Extraction(
            len(tasks),
            task_experts,
            shared_experts,
            self.embedding_dim,
            expert_widths,
            gate_widths,
            self.dropout,
            shared_output=False,
        )
        width = self.extraction.width
        self.towers = TaskTowers([task.outputs for task in tasks], width, tower_widths, self.dropout)
        self.finish(len(tasks), width)

    def task_networks(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The shared experts are computed once a view."""
        own, _ = self.extraction(x[seen], x, seen)
        return self.towers(own), own
