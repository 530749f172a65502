"""Models most of which is networks of single tasks."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from models.batch import Batch
from models.masked import MaskedModel


class TaskwiseModel(MaskedModel):
    """A model whose tasks' networks compute each row as their task sees it, and no other view of it.

    The auxiliary heads read that, too.
    """

    @abstractmethod
    def task_networks(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """x [views, dim], seen [tasks, rows]: the view of each row for each task.

        -> ([rows, heads], [tasks, rows, width] for the auxiliary heads)
        """

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [pairs, outputs], and what the auxiliary heads read: [tasks, rows, width]."""
        hits = self.find_pair_hits(batch)
        x, linear = self.inputs(batch, hits)
        plain = torch.arange(batch.rows, device=x.device).expand(len(self.tasks), -1)
        hit_cells = (hits.pair_tasks, batch.pair_rows[hits.pair_positions])
        seen = plain.index_put(hit_cells, batch.rows + hits.pair_views)
        by_head, hidden = self.task_networks(x, seen)
        by_head = by_head.to(x.dtype)
        if linear is not None:
            by_head = by_head + linear.gather(0, seen[self.towers.head_tasks].t())
        return self.pair_logits(by_head, batch.pair_rows, batch.pair_tasks), hidden
