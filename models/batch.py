"""The one contract between shards and models: rows of sparse concept vectors and (row, task, label) pairs.

row            0         1      2
concept_ids  [ 4 9 12 |  4  |  7 9 ]          row_offsets = [0, 3, 4, 6]
weights      [ .7 1 .7| 2.1 | .7 .7 ]

pair_rows  = [0, 0, 2]     row 0 is labelled for tasks 1 and 5, row 2 for task 1
pair_tasks = [1, 5, 1]
labels     = [0, 1, 1]
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch of entities.

    concept_ids [nnz] int64, ascending within a row; concept_weights [nnz] float32;
    row_offsets [rows + 1] int64; pair_rows, pair_tasks [pairs] int64, sorted by (row, task);
    labels [pairs] float32 (class index for multiclass tasks; zeros when unknown).
    """

    concept_ids: Tensor
    concept_weights: Tensor
    row_offsets: Tensor
    pair_rows: Tensor
    pair_tasks: Tensor
    labels: Tensor

    @property
    def rows(self) -> int:
        return self.row_offsets.numel() - 1

    @property
    def pairs(self) -> int:
        return self.pair_rows.numel()

    def row_of_entry(self) -> Tensor:
        """[nnz] int64: the row of each concept entry."""
        lengths = self.row_offsets[1:] - self.row_offsets[:-1]
        return torch.repeat_interleave(torch.arange(self.rows, device=lengths.device), lengths)

    def of_concepts(self, size: int) -> Batch:
        """The same rows with the first `size` concepts only."""
        kept = self.concept_ids < size
        if bool(kept.all()):
            return self
        lengths = torch.bincount(self.row_of_entry()[kept], minlength=self.rows)
        return replace(
            self,
            concept_ids=self.concept_ids[kept],
            concept_weights=self.concept_weights[kept],
            row_offsets=torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        names = ("concept_ids", "concept_weights", "row_offsets", "pair_rows", "pair_tasks", "labels")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})

    def with_all_tasks(self, tasks: int) -> Batch:
        """The same rows, each paired with every task 0..tasks-1 (labels zero): what scoring asks for."""
        device = self.row_offsets.device
        pair_rows = torch.arange(self.rows, device=device).repeat_interleave(tasks)
        pair_tasks = torch.arange(tasks, device=device).repeat(self.rows)
        labels = torch.zeros(self.rows * tasks, device=device)
        return replace(self, pair_rows=pair_rows, pair_tasks=pair_tasks, labels=labels)
