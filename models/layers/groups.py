"""Pairs grouped by task, so that per-task weights meet them in one batched product."""

from __future__ import annotations

import torch
from torch import Tensor

from models.layers.hits import expand


class TaskGroups:
    """Pairs sorted by task and laid out in blocks of one task and `size` slots each (the last ones part empty).

    A loop over tasks would start thousands of small kernels; gathering weights for each pair would copy
    width x hidden numbers a pair. Blocks gather weights once for `size` pairs.
    """

    def __init__(self, tasks: Tensor, task_count: int) -> None:
        """tasks [pairs] int64: the task of each pair."""
        pairs = tasks.numel()
        counts = torch.bincount(tasks, minlength=task_count)
        mean = max(1, pairs // max(1, task_count))
        self.size = min(64, 1 << mean.bit_length())
        blocks_of_task = (counts + self.size - 1) // self.size
        self.block_tasks, _ = expand(blocks_of_task)
        order = torch.argsort(tasks, stable=True)
        _, within = expand(counts)
        first_block = torch.cumsum(blocks_of_task, 0) - blocks_of_task
        slots = first_block[tasks[order]] * self.size + within
        self._pair_of_slot = torch.zeros(self.blocks * self.size, dtype=torch.int64, device=tasks.device)
        self._pair_of_slot[slots] = order  # empty slots repeat pair 0; nobody reads their result
        self._slot_of_pair = torch.empty_like(order)
        self._slot_of_pair[order] = slots

    @property
    def blocks(self) -> int:
        return self.block_tasks.numel()

    def spread(self, values: Tensor, index: Tensor | None = None) -> Tensor:
        """values [pairs, n], or values[index] of [m, n] -> [blocks, size, n]."""
        source = self._pair_of_slot if index is None else index[self._pair_of_slot]
        return values.index_select(0, source).view(self.blocks, self.size, values.shape[1])

    def collect(self, values: Tensor) -> Tensor:
        """[blocks, size, n] -> [pairs, n]."""
        return values.flatten(0, 1).index_select(0, self._slot_of_pair)
