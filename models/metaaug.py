"""MetaAug: one mixture of experts for all segments, each under its own causal mask (paper section 4, Eq 4-9)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.batch import Batch
from models.layers.auxiliary_heads import AuxiliaryHeads
from models.layers.embedding import ConceptEmbedding, visible_weights
from models.layers.experts import Experts
from models.layers.gates import Gates
from models.layers.groups import TaskGroups
from models.layers.hits import Hits, find_hits
from models.layers.shared_outputs import SharedOutputs
from models.layers.towers import Towers
from models.masks import TaskMasks
from models.task import Task

_DENSE_SHARE = 0.25  # from this share of all (row, task) pairs on, scoring all of them is the cheaper way


class MetaAug(nn.Module):
    """The model of the paper; see models/layers/ for its parts.

    A view is a row without the concepts of one mask; its input is
        x = sum_c w_c E_c / sqrt(norm_offset + sum_c w_c)    over its visible concepts c,
    where the norm, too, is taken after masking (a norm of the whole row would tell of what is hidden).
    Each distinct view is computed once, whatever the number of tasks (models/layers/hits.py).
    """

    fields: Tensor
    auxiliary_concepts: Tensor

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
        dropout: float = 0.0,
        linear_term: bool = False,
        norm_offset: float = 20.0,
        auxiliary: int = 0,
        auxiliary_hidden: int = 32,
        embedding_std: float = 0.1,
        sparse_embeddings: bool = False,
    ) -> None:
        """The defaults are the paper's sizes. fields [vocabulary] int64: the field of each concept.

        gate_hidden, tower_hidden: units of a gate's and a tower's hidden layer, 0: linear.
        gate_input: False: a task weighs the experts the same for every row; gate_hidden is then 0.
        shared_outputs: width of a linear layer shared by all tasks between experts and towers, 0: none.
        dropout: of the experts' layers. linear_term: adds a linear model a task over its visible concepts.
        auxiliary: the first so many concepts (the most frequent) are also predicted, see forward_with_auxiliary.
        sparse_embeddings: tables over the vocabulary get sparse gradients.
        """
        super().__init__()
        sizes = {"embedding_dim": embedding_dim, "experts": experts, "expert_layers": expert_layers}
        for name, size in (sizes | {"expert_width": expert_width, "auxiliary_hidden": auxiliary_hidden}).items():
            if size < 1:
                raise ValueError(f"{name} is at least 1, not {size}")
        if gate_hidden < 0 or tower_hidden < 0:
            raise ValueError(f"gate_hidden and tower_hidden are at least 0, not {gate_hidden} and {tower_hidden}")
        if shared_outputs < 0:
            raise ValueError(f"shared_outputs is at least 0, not {shared_outputs}")
        if gate_hidden and not gate_input:
            raise ValueError(f"gate_hidden is 0 where gate_input is false, not {gate_hidden}")
        if not norm_offset > 0:
            raise ValueError(f"norm_offset is above 0, not {norm_offset}")
        if not tasks or len(tasks) != masks.tasks:
            raise ValueError(f"{len(tasks)} tasks, but masks for {masks.tasks}")
        if fields.numel() != masks.vocabulary_size:
            raise ValueError(f"fields of {fields.numel()} concepts, but masks over {masks.vocabulary_size}")
        if not 0 <= auxiliary <= masks.vocabulary_size:
            raise ValueError(f"auxiliary is between 0 and the {masks.vocabulary_size} concepts, not {auxiliary}")
        self.tasks = tuple(tasks)
        self.norm_offset = norm_offset
        self.masks = masks
        self.register_buffer("fields", fields)
        self.register_buffer("auxiliary_concepts", torch.arange(auxiliary))
        vocabulary = masks.vocabulary_size
        self.embedding = ConceptEmbedding(vocabulary, embedding_dim, std=embedding_std, sparse=sparse_embeddings)
        self.experts = Experts(experts, expert_layers, embedding_dim, expert_width, dropout)
        self.gates = Gates(len(tasks), experts, embedding_dim if gate_input else 0, gate_hidden)
        self.shared = SharedOutputs(experts, expert_width, embedding_dim, shared_outputs) if shared_outputs else None
        self.towers = Towers([task.outputs for task in tasks], shared_outputs or expert_width, tower_hidden)
        self.linear = (
            ConceptEmbedding(vocabulary, self.towers.heads, std=0.0, sparse=sparse_embeddings) if linear_term else None
        )
        self.auxiliary = AuxiliaryHeads(auxiliary, experts, expert_width, auxiliary_hidden) if auxiliary else None

    @property
    def outputs(self) -> int:
        """Columns of the logits: the widest task's."""
        return self.towers.outputs

    def forward(self, batch: Batch) -> Tensor:
        """[pairs, outputs]: the logits of the batch's pairs (columns past a task's own are 0)."""
        return self._forward(batch)[0]

    def forward_with_auxiliary(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The logits and [rows, auxiliary]: of the presence of each auxiliary concept, from the plain rows.

        Meant for rows of which concepts were hidden (models/hiding.py); models/auxiliary.py has the loss.
        """
        if self.auxiliary is None:
            raise ValueError("the model has no auxiliary tasks (setting auxiliary)")
        logits, experts = self._forward(batch)
        return logits, self.auxiliary(experts[:, : batch.rows]).to(logits.dtype)

    def forward_all(self, batch: Batch) -> Tensor:
        """[rows, heads]: every task of every row, whatever pairs the batch names; heads in task order."""
        hits = find_hits(batch, self.masks, None)
        x, linear = self._inputs(batch, hits)
        return self._all_heads(batch.rows, hits, x, self._tower_input(self.experts(x), x), linear)

    @torch.no_grad()
    def gate_weights(self, batch: Batch) -> Tensor:
        """[rows, experts, tasks]: what share each expert has in each task for the unmasked rows."""
        hits = find_hits(batch, self.masks, batch.pair_rows.new_empty(0))
        return self.gates.all_tasks(self._inputs(batch, hits)[0][: batch.rows]).permute(2, 0, 1)

    @torch.no_grad()
    def start_from_priors(self, priors: Tensor) -> None:
        """Sets the output biases to what is known before any feature: the log-odds of each task's prevalence.

        priors [heads]: share of positives (binary), share of the class (multiclass), mean label (regression).
        """
        if priors.shape != (self.towers.heads,):
            raise ValueError(f"priors for {tuple(priors.shape)} heads, but the model has {self.towers.heads}")
        kinds = [self.tasks[task].kind for task in self.towers.head_tasks.tolist()]
        share = priors.double().clamp(1e-6, 1 - 1e-6)
        for kind, value in (("binary", share.logit()), ("multiclass", share.log()), ("regression", priors.double())):
            of_kind = torch.tensor([k == kind for k in kinds], device=priors.device)
            bias = self.towers.bias
            bias.copy_(torch.where(of_kind.to(bias.device), value.to(bias), bias))

    @torch.no_grad()
    def scale_outputs(self, scale: Tensor, shift: Tensor) -> None:
        """Makes every logit scale * logit + shift, by its head: from standardised targets to their own units.

        scale, shift [heads].
        """
        self.towers.last.mul_(scale.to(self.towers.last))
        self.towers.bias.mul_(scale.to(self.towers.bias)).add_(shift.to(self.towers.bias))
        if self.linear is not None:
            self.linear.weight.mul_(scale.to(self.linear.weight))

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [pairs, outputs] and expert outputs [experts, rows + views, width]."""
        tasks = len(self.tasks)
        pair_keys = batch.pair_rows * tasks + batch.pair_tasks
        if not bool((pair_keys[1:] > pair_keys[:-1]).all()):
            raise ValueError("pairs must be distinct and sorted by (row, task)")
        hits = find_hits(batch, self.masks, pair_keys)
        x, linear = self._inputs(batch, hits)
        experts = self.experts(x)
        tower_input = self._tower_input(experts, x)
        if batch.pairs >= _DENSE_SHARE * batch.rows * tasks:
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

    def _inputs(self, batch: Batch, hits: Hits) -> tuple[Tensor, Tensor | None]:
        """x [rows + views, dim] and the linear terms [rows + views, heads]."""
        scale = (self.norm_offset + visible_weights(batch, hits)).rsqrt().unsqueeze(1)
        x = self.embedding(batch, hits) * scale.to(self.embedding.weight.dtype)
        if self.linear is None:
            return x, None
        return x, self.linear(batch, hits) * scale.to(x.dtype)

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
