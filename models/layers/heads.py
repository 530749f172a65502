"""Which outputs belong to which task. A head is one output of one task; heads stand in task order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Heads(nn.Module):
    """A multiclass task has one head a class, other kinds have one. Subclasses own the output layer.

    last [width, heads] and bias [heads]: the output layer. head_tasks [heads]: the task of each head;
    heads_of_task [tasks, outputs]: its heads, and own_column, of the same shape: which of these columns are its own.
    """

    head_tasks: Tensor
    heads_of_task: Tensor
    own_column: Tensor
    last: nn.Parameter
    bias: nn.Parameter

    def __init__(self, outputs: Sequence[int]) -> None:
        """outputs [tasks]: the number of heads of each task."""
        super().__init__()
        counts = torch.tensor(outputs, dtype=torch.int64)
        self.tasks, self.heads, self.outputs = len(outputs), int(counts.sum()), int(counts.max())
        columns = torch.arange(self.outputs)
        self.register_buffer("head_tasks", torch.arange(self.tasks).repeat_interleave(counts), persistent=False)
        own = columns < counts[:, None]
        heads_of_task = torch.where(own, (counts.cumsum(0) - counts)[:, None] + columns, 0)
        self.register_buffer("heads_of_task", heads_of_task, persistent=False)
        self.register_buffer("own_column", own, persistent=False)

    def select(self, by_head: Tensor, rows: Tensor, tasks: Tensor) -> Tensor:
        """by_head [rows, heads] -> [pairs, outputs], zero in the columns past a task's own."""
        cells = rows[:, None] * self.heads + self.heads_of_task[tasks]
        own = by_head.reshape(-1).index_select(0, cells.flatten()).view(cells.shape)
        return own if self.outputs == 1 else own * self.own_column[tasks]
