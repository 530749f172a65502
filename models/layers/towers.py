"""Task towers: Task_i((v_s)_i) of paper Eq 6 over the gated experts (v_s)_i of Eq 7.

As the first layer of a tower is linear, the gates may weigh either the experts' outputs or what the tower's first
layer makes of them: W_i' sum_j g_ij h_j = sum_j g_ij (W_i' h_j). The second form never makes a [rows, tasks, width]
tensor. First weights stand as [width, hidden, tasks], tasks innermost: one wide product an expert serves all tasks, and
gates weigh it (models/layers/gated.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.gated import GatedTowers
from models.layers.groups import TaskGroups


class Towers(nn.Module):
    """One network a task with `hidden` relu units (0: linear); a head is one output of one task.

    Heads stand in task order: a multiclass task has one a class, other kinds one.
    """

    head_tasks: Tensor
    heads_of_task: Tensor
    own_column: Tensor

    def __init__(self, outputs: Sequence[int], width: int, hidden: int) -> None:
        """outputs [tasks]: the number of heads of each task."""
        super().__init__()
        counts = torch.tensor(outputs, dtype=torch.int64)
        tasks, heads, widest = len(outputs), int(counts.sum()), int(counts.max())
        columns = torch.arange(widest)
        self.hidden, self.heads, self.outputs, self.tasks = hidden, heads, widest, tasks
        self.register_buffer("head_tasks", torch.arange(tasks).repeat_interleave(counts), persistent=False)
        own = columns < counts[:, None]  # [tasks, widest]: columns that are the task's own
        heads_of_task = torch.where(own, (counts.cumsum(0) - counts)[:, None] + columns, 0)
        self.register_buffer("heads_of_task", heads_of_task, persistent=False)
        self.register_buffer("own_column", own, persistent=False)
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

    def of_pairs(self, experts: Tensor, gates: Tensor, views: Tensor, tasks: Tensor, groups: TaskGroups) -> Tensor:
        """experts [experts, views, width], gates [pairs, experts], each pair's view and task -> [pairs, outputs]."""
        gated = (experts.index_select(1, views) * gates.t().unsqueeze(2)).sum(0)
        unit, blocks = groups.spread(gated), groups.block_tasks
        if self.hidden:
            first = self.first.permute(2, 0, 1).index_select(0, blocks)
            unit = torch.relu(torch.baddbmm(self.first_bias.t()[blocks].unsqueeze(1), unit, first))
        last = self.last.t()[self.heads_of_task[blocks]]  # [blocks, outputs, hidden]
        logits = groups.collect(torch.bmm(unit, last.transpose(1, 2))) + self.bias[self.heads_of_task[tasks]]
        return logits if self.outputs == 1 else logits * self.own_column[tasks]

    def select(self, by_head: Tensor, rows: Tensor, tasks: Tensor) -> Tensor:
        """by_head [rows, heads] -> [pairs, outputs], zero in the columns past a task's own."""
        cells = rows[:, None] * self.heads + self.heads_of_task[tasks]
        own = by_head.reshape(-1).index_select(0, cells.flatten()).view(cells.shape)
        return own if self.outputs == 1 else own * self.own_column[tasks]
