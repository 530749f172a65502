"""Task gates: softmax(Gate_i(x)), the weight of each expert for each task (paper Eq 7)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.layers.groups import TaskGroups


class Gates(nn.Module):
    """One small network a task over the shared input: `hidden` units, or linear where hidden is 0.

    The paper's gates read the concept vector; ours read its shared embedding x, as a gate of its own over 100,000
    concepts would cost more than all the rest. With an input width of 0 they read nothing: a task's weights are its
    own, the same for every row.

    own_axis: of each parameter the axis that tasks stand on, and whether it is one of heads in place of tasks.
    """

    own_axis: ClassVar = {"first": (1, False), "first_bias": (0, False), "last": (0, False), "last_bias": (0, False)}

    def __init__(self, tasks: int, experts: int, input_width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.experts = experts
        self.input_width = input_width
        last = hidden or input_width
        if hidden:
            bound = math.sqrt(3 / input_width)
            self.first = nn.Parameter(torch.empty(input_width, tasks, hidden).uniform_(-bound, bound))
            self.first_bias = nn.Parameter(torch.zeros(tasks, hidden))
        # Small, so that all experts begin with about equal weight for all tasks.
        self.last = nn.Parameter(torch.randn(tasks, experts, last) * (0.1 / math.sqrt(max(1, last))))
        self.last_bias = nn.Parameter(torch.zeros(tasks, experts))

    def all_tasks(self, x: Tensor) -> Tensor:
        """x [rows, width] -> [experts, tasks, rows], summing to 1 over experts."""
        tasks, rows = self.last.shape[0], x.shape[0]
        x = x[:, : self.input_width]
        if self.hidden:
            unit = torch.relu(torch.addmm(self.first_bias.view(-1, 1), self.first.flatten(1).t(), x.t()))
            logits = torch.baddbmm(self.last_bias.unsqueeze(2), self.last, unit.view(tasks, self.hidden, rows))
        else:
            logits = torch.addmm(self.last_bias.view(-1, 1), self.last.flatten(0, 1), x.t())
        return torch.softmax(logits.view(tasks, self.experts, rows).transpose(0, 1), dim=0)

    def of_pairs(self, x: Tensor, views: Tensor, groups: TaskGroups) -> Tensor:
        """x [views, width], the view of each pair [pairs] -> [pairs, experts]."""
        unit = groups.spread(x[:, : self.input_width], views)
        tasks = groups.block_tasks
        if self.hidden:
            first = self.first.permute(1, 0, 2).index_select(0, tasks)
            unit = torch.relu(torch.baddbmm(self.first_bias[tasks].unsqueeze(1), unit, first))
        last = self.last.index_select(0, tasks).transpose(1, 2)
        return torch.softmax(groups.collect(torch.baddbmm(self.last_bias[tasks].unsqueeze(1), unit, last)), dim=1)
