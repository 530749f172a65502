"""Shared-Bottom: one network for all tasks and a tower for each (Caruana, Machine Learning 28, 1997)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from models.layers.networks import Networks
from models.layers.towers import Towers
from models.masked import MaskedModel, at_least
from models.masks import TaskMasks
from models.task import Task


class SharedBottom(MaskedModel):
    """logits_i = Tower_i(Bottom(x))."""

    towers: Towers

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        bottom_widths: Sequence[int] = (512, 256),
        tower_hidden: int = 64,
        **common: Any,
    ) -> None:
        """tower_hidden: units of a tower's hidden layer, 0: linear. `common`: the settings of MaskedModel."""
        super().__init__(tasks, masks, fields, **common)
        at_least(0, tower_hidden=tower_hidden)
        self.bottom = Networks(1, self.embedding_dim, bottom_widths, self.dropout)
        self.towers = Towers([task.outputs for task in tasks], self.bottom.width, tower_hidden)
        self.finish(1, self.bottom.width)

    def network(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """All tasks of all views."""
        hidden = self.bottom(x)
        return self.towers.of_one(hidden[0]), hidden
