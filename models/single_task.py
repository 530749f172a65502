"""Single-Task: a network of its own for each task (the baseline of APEM section 4.1.2, layers 256, 128, 64)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from models.layers.networks import Networks
from models.layers.task_towers import TaskTowers
from models.masks import TaskMasks
from models.task import Task
from models.taskwise import TaskwiseModel


class SingleTask(TaskwiseModel):
    """logits_i = Network_i(x_i): tasks share nothing, not even embeddings, and are computed side by side.

    A concept's embeddings for all tasks are one row of a table [vocabulary, tasks * embedding_dim], so that one lookup
    serves all. (Auxiliary heads, where set, mix what all networks make of a row, and are the one thing they share.)
    """

    towers: TaskTowers

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        embedding_dim: int = 16,
        widths: Sequence[int] = (256, 128, 64),
        **common: Any,
    ) -> None:
        """`common`: the settings of MaskedModel."""
        self._task_count = len(tasks)
        super().__init__(tasks, masks, fields, embedding_dim=embedding_dim, **common)
        self.networks = Networks(len(tasks), embedding_dim, widths, self.dropout)
        self.towers = TaskTowers([task.outputs for task in tasks], self.networks.width, (), 0.0)
        self.finish(len(tasks), self.networks.width)

    @property
    def tables(self) -> int:
        """One a task."""
        return self._task_count

    def task_networks(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """x [views, tasks * dim]."""
        by_task = x.view(len(x), self.tables, self.embedding_dim).transpose(0, 1)
        hidden = self.networks(by_task.gather(1, seen.unsqueeze(2).expand(-1, -1, self.embedding_dim)))
        return self.towers(hidden), hidden
