"""Task towers: Task_i((v_s)_i) of paper Eq 6 over the gated experts (v_s)_i of Eq 7.

As the first layer of a tower is linear, the gates may weigh either the experts' outputs or what the tower's first
layer makes of them: W_i' sum_j g_ij h_j = sum_j g_ij (W_i' h_j). The second form never makes a [rows, tasks, width]
tensor. First weights stand as [width, hidden, tasks], tasks innermost: one wide product an expert serves all tasks, and
gates weigh it (models/layers/gated.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.layers.gated import GatedTowers
from models.layers.groups import TaskGroups
from models.layers.heads import Heads


class Towers(Heads):
    """One network a task with `hidden` relu units (0: linear). own_axis: as the gates' (models/layers/gates.py)."""

    own_axis: ClassVar = {"first": (2, False), "first_bias": (1, False), "last": (1, True), "bias": (0, True)}

    def __init__(self, outputs: Sequence[int], width: int, hidden: int) -> None:
        """outputs [tasks]: the number of heads of each task."""
        super().__init__(outputs)
        self.hidden = hidden
        tasks, heads = self.tasks, self.heads
        if hidden:
            bound = math.sqrt(3 / width)
            self.first = nn.Parameter(torch.empty(width, hidden, tasks).uniform_(-bound, bound))
            self.first_bias = nn.Parameter(torch.zeros(hidden, tasks))
        bound = math.sqrt(1 / (hidden or width))
        self.last = nn.Parameter(torch.empty(hidden or width, heads).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(heads))

    def all_tasks(self, experts: Tensor, gates: Tensor) -> Tensor:
        """experts [experts, rows, width], gates [experts, tasks, rows] -> [rows, heads]."""
        heads = None if self.heads == self.tasks else self.head_tasks
        if not self.hidden:
            product = self.last.t() @ experts.transpose(1, 2)  # [experts, heads, rows]
            by_head = gates if heads is None else gates.index_select(1, heads)
            return (product * by_head).sum(0).t() + self.bias
        gates = gates.to(self.last.dtype)
        with torch.autocast(experts.device.type, enabled=False):
            first = self.first.to(experts.dtype)
            keep = torch.is_grad_enabled()
            logits = GatedTowers.apply(experts, gates, first, self.first_bias, self.last, heads, keep)
            return logits.t() + self.bias

    def of_one(self, hidden: Tensor) -> Tensor:
        """hidden [rows, width], the same for all tasks -> [rows, heads]."""
        return self.all_tasks(hidden.unsqueeze(0), hidden.new_ones(1, self.tasks, hidden.shape[0]))

    def of_pairs(self, gated: Tensor, tasks: Tensor, groups: TaskGroups) -> Tensor:
        """gated [pairs, width], each pair's task -> [pairs, outputs]."""
        unit, blocks = groups.spread(gated), groups.block_tasks
        if self.hidden:
            first = self.first.permute(2, 0, 1).index_select(0, blocks)
            unit = torch.relu(torch.baddbmm(self.first_bias.t()[blocks].unsqueeze(1), unit, first))
        last = self.last.t()[self.heads_of_task[blocks]]  # [blocks, outputs, hidden]
        logits = groups.collect(torch.bmm(unit, last.transpose(1, 2))) + self.bias[self.heads_of_task[tasks]]
        return logits if self.outputs == 1 else logits * self.own_column[tasks]
