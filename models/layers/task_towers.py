"""Task towers over an input of each task's own, all in batched products."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.heads import Heads
from models.layers.networks import Networks


class TaskTowers(Heads):
    """One network a task: relu layers of these widths (none: linear), then its heads."""

    def __init__(self, outputs: Sequence[int], input_width: int, widths: Sequence[int], dropout: float) -> None:
        """outputs [tasks]: the number of heads of each task."""
        super().__init__(outputs)
        self.networks = Networks(self.tasks, input_width, widths, dropout)
        bound = math.sqrt(1 / self.networks.width)
        self.last = nn.Parameter(torch.empty(self.networks.width, self.heads).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(self.heads))

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs [tasks, views, input width] -> [views, heads]."""
        unit = self.networks(inputs)
        if self.heads != self.tasks:
            unit = unit.index_select(0, self.head_tasks)
        return torch.bmm(unit, self.last.t().unsqueeze(2)).squeeze(2).t() + self.bias
