"""MetaAug: one mixture of experts for all segments, each under its own causal mask (paper section 4, Eq 4-9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.batch import Batch
from models.layers.experts import Experts
from models.layers.gates import Gates
from models.layers.groups import TaskGroups
from models.layers.hits import Hits, find_hits
from models.layers.shared_outputs import SharedOutputs
from models.layers.towers import Towers
from models.masked import MaskedModel, at_least
from models.masks import TaskMasks
from models.task import Task

_DENSE_SHARE = 0.25  # from this share of all (row, task) pairs on, scoring all of them is the cheaper way


class MetaAug(MaskedModel):
    """The model of the paper; see models/layers/ for its parts.

    Where other models compute all tasks of every view, this one computes a masked view's own tasks only.
    """

    towers: Towers

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        embedding_dim: int = 512,
        experts: int = 3,
        expert_layers: int = 6,
        expert_width: int = 512,
        gate_hidden: int = 32,
        tower_hidden: int = 32,
        gate_input: bool = True,
        shared_outputs: int = 0,
        **common: Any,
    ) -> None:
        """The defaults are the paper's sizes; `common` are the settings of MaskedModel.

        gate_hidden, tower_hidden: units of a gate's and a tower's hidden layer, 0: linear.
        gate_input: False: a task weighs the experts the same for every row; gate_hidden is then 0.
        shared_outputs: width of a linear layer shared by all tasks between experts and towers, 0: none.
        """
        super().__init__(tasks, masks, fields, embedding_dim=embedding_dim, **common)
        at_least(1, experts=experts, expert_layers=expert_layers, expert_width=expert_width)
        at_least(0, gate_hidden=gate_hidden, tower_hidden=tower_hidden, shared_outputs=shared_outputs)
        if gate_hidden and not gate_input:
            raise ValueError(f"gate_hidden is 0 where gate_input is false, not {gate_hidden}")
        self.experts = Experts(experts, expert_layers, embedding_dim, expert_width, self.dropout)
        self.gates = Gates(len(tasks), experts, embedding_dim if gate_input else 0, gate_hidden)
        self.shared = SharedOutputs(experts, expert_width, embedding_dim, shared_outputs) if shared_outputs else None
        self.towers = Towers([task.outputs for task in tasks], shared_outputs or expert_width, tower_hidden)
        self.finish(experts, expert_width)

    def forward_all(self, batch: Batch) -> Tensor:
        """[rows, heads]: every task of every row, whatever pairs the batch names; heads in task order."""
        hits = find_hits(batch, self.masks, None)
        x, linear = self.inputs(batch, hits)
        return self._all_heads(batch.rows, hits, x, self._tower_input(self.experts(x), x), linear)

    @torch.no_grad()
    def gate_weights(self, batch: Batch) -> Tensor:
        """[rows, experts, tasks]: what share each expert has in each task for the unmasked rows."""
        hits = find_hits(batch, self.masks, batch.pair_rows.new_empty(0))
        return self.gates.all_tasks(self.inputs(batch, hits)[0][: batch.rows]).permute(2, 0, 1)

    def network(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """All tasks of all views; `_forward` does with less."""
        experts = self.experts(x)
        return self.towers.all_tasks(self._tower_input(experts, x), self.gates.all_tasks(x)), experts

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [pairs, outputs] and expert outputs [experts, rows + views, width]."""
        hits = self.find_pair_hits(batch)
        x, linear = self.inputs(batch, hits)
        experts = self.experts(x)
        tower_input = self._tower_input(experts, x)
        if batch.pairs >= _DENSE_SHARE * batch.rows * len(self.tasks):
            # hits.pair_positions are positions among the batch's pairs; here they are cells of [rows, tasks].
            by_head = self._all_heads(batch.rows, hits, x, tower_input, linear)
            if batch.pairs == by_head.numel():
                return by_head.reshape(-1, 1), experts
            return self.towers.select(by_head, batch.pair_rows, batch.pair_tasks), experts
        views = batch.pair_rows.index_put((hits.pair_positions,), batch.rows + hits.pair_views)
        return self._some_pairs(x, tower_input, linear, views, batch.pair_tasks), experts

    def _tower_input(self, experts: Tensor, x: Tensor) -> Tensor:
        """[experts, views, width]: the experts' outputs, or the narrower ones that all tasks share."""
        return experts if self.shared is None else self.shared(experts, x)

    def _all_heads(self, rows: int, hits: Hits, x: Tensor, experts: Tensor, linear: Tensor | None) -> Tensor:
        """[rows, heads]: every task from the plain rows, then the hit pairs' own logits put in their place."""
        (x, x_hit), (experts, experts_hit) = x.split([rows, hits.views]), experts.split([rows, hits.views], dim=1)
        linear, linear_hit = (None, None) if linear is None else linear.split([rows, hits.views])
        by_head = self.towers.all_tasks(experts, self.gates.all_tasks(x)).to(x.dtype)
        if linear is not None:
            by_head = by_head + linear
        if hits.pair_views.numel() == 0:
            return by_head
        own = self._some_pairs(x_hit, experts_hit, linear_hit, hits.pair_views, hits.pair_tasks)
        hit_rows = hits.view_rows[hits.pair_views].unsqueeze(1)
        columns = self.towers.heads_of_task[hits.pair_tasks]
        valid = self.towers.own_column[hits.pair_tasks]
        return by_head.index_put((hit_rows.expand_as(columns)[valid], columns[valid]), own[valid])

    def _some_pairs(self, x: Tensor, experts: Tensor, linear: Tensor | None, views: Tensor, tasks: Tensor) -> Tensor:
        """[pairs, outputs] of pairs given by view and task."""
        groups = TaskGroups(tasks, len(self.tasks))
        gates = self.gates.of_pairs(x, views, groups)
        logits = self.towers.of_pairs(experts, gates, views, tasks, groups).to(x.dtype)
        return logits if linear is None else logits + self.towers.select(linear, views, tasks)
