"""A mixture of experts under causal masks, each masked view computed for its own tasks only: MetaAug and MMoE."""

from __future__ import annotations

import torch
from torch import Tensor

from models.batch import Batch
from models.layers.experts import Experts
from models.layers.gates import Gates
from models.layers.groups import TaskGroups
from models.layers.hits import Hits, find_hits
from models.layers.shared_outputs import SharedOutputs
from models.layers.towers import Towers
from models.layers.weighed import weighed_sums
from models.masked import MaskedModel
from models.task_inputs import TaskInputs

_DENSE_SHARE = 0.25  # from this share of all (row, task) pairs on, scoring all of them is the cheaper way


class ExpertMixture(MaskedModel):
    """logits_i = Tower_i(sum_e g_ie(x) Expert_e(x))   (MetaCon Eq 6-7).

    A subclass makes experts, gates and towers; `shared` is the layer between experts and towers, or None. Experts meet
    each view once; towers and gates, which are of a task each, meet plain rows and the pairs whose mask hits.
    The last `passing` columns of x pass by the experts: towers read them, too.
    """

    experts: Experts
    gates: Gates
    shared: SharedOutputs | None
    towers: Towers
    passing: int = 0

    @torch.no_grad()
    def gate_weights(self, batch: Batch) -> Tensor:
        """[rows, experts, tasks]: what share each expert has in each task for the unmasked rows."""
        hits = find_hits(batch, self.masks, batch.pair_rows.new_empty(0))
        return self.gates.all_tasks(self.inputs(batch, hits)[0][: batch.rows]).permute(2, 0, 1)

    @torch.no_grad()
    def task_inputs(self, batch: Batch) -> TaskInputs:
        """What the gates and towers of the batch's pairs read: all that does not change when only these are trained."""
        hits = self.find_pair_hits(batch)
        x, linear = self.inputs(batch, hits)
        views = batch.pair_rows.index_put((hits.pair_positions,), batch.rows + hits.pair_views)
        linear = None if linear is None else self.towers.select(linear, views, batch.pair_tasks)
        experts = self._shared_or_own(self.experts(x), x).index_select(1, views)
        passing = x[:, -self.passing :].to(experts.dtype).index_select(0, views) if self.passing else None
        return TaskInputs(x.index_select(0, views), experts, passing, linear, batch.pair_tasks)

    def readout_inputs(self, given: TaskInputs) -> Tensor:
        """[pairs, width]: what the towers read of the pairs of `task_inputs`: the experts as the gates weigh them."""
        pairs = torch.arange(len(given.tasks), device=given.tasks.device)
        gates = self.gates.of_pairs(given.x, pairs, TaskGroups(given.tasks, len(self.tasks)))
        return given.weighed(gates.t())

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [pairs, outputs] and expert outputs [experts, rows + views, width]."""
        hits = self.find_pair_hits(batch)
        x, linear = self.inputs(batch, hits)
        experts = self.experts(x)
        if batch.pairs >= _DENSE_SHARE * batch.rows * len(self.tasks):
            # hits.pair_positions are positions among the batch's pairs; here they are cells of [rows, tasks].
            by_head = self._all_heads(batch.rows, hits, x, experts, linear)
            if batch.pairs == by_head.numel():
                return by_head.reshape(-1, 1), experts
            return self.towers.select(by_head, batch.pair_rows, batch.pair_tasks), experts
        views = batch.pair_rows.index_put((hits.pair_positions,), batch.rows + hits.pair_views)
        return self._some_pairs(x, experts, linear, views, batch.pair_tasks), experts

    def _shared_or_own(self, experts: Tensor, x: Tensor) -> Tensor:
        """[experts, views, width]: what is weighed: the experts' outputs, or the narrower shared ones."""
        if self.shared is None:
            return experts
        shared: Tensor = self.shared(experts, x)
        return shared

    def _tower_input(self, experts: Tensor, x: Tensor) -> Tensor:
        """[experts, views, width]: what is weighed and what passes by the experts."""
        experts = self._shared_or_own(experts, x)
        if not self.passing:
            return experts
        # The same beside every expert, as gates sum to 1.
        return torch.cat([experts, x[:, -self.passing :].to(experts.dtype).expand(len(experts), -1, -1)], dim=2)

    def _all_heads(self, rows: int, hits: Hits, x: Tensor, experts: Tensor, linear: Tensor | None) -> Tensor:
        """[rows, heads]: every task from the plain rows, then the hit pairs' own logits put in their place."""
        (x, x_hit), (experts, experts_hit) = x.split([rows, hits.views]), experts.split([rows, hits.views], dim=1)
        linear, linear_hit = (None, None) if linear is None else linear.split([rows, hits.views])
        by_head = self.towers.all_tasks(self._tower_input(experts, x), self.gates.all_tasks(x)).to(x.dtype)
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
        weighed = weighed_sums(self._shared_or_own(experts, x), gates, views)
        if self.passing:
            weighed = torch.cat([weighed, x[:, -self.passing :].to(weighed.dtype).index_select(0, views)], dim=1)
        logits = self.towers.of_pairs(weighed, tasks, groups).to(x.dtype)
        return logits if linear is None else logits + self.towers.select(linear, views, tasks)
