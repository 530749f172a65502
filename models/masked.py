"""What all models share: tasks under causal masks, concept embeddings, pairs, priors, auxiliary heads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.batch import Batch
from models.layers.auxiliary_heads import AuxiliaryHeads
from models.layers.embedding import ConceptEmbedding, visible_weights
from models.layers.heads import Heads
from models.layers.hits import Hits, find_hits
from models.masks import TaskMasks
from models.task import Task


class MaskedModel(nn.Module):
    """A model of several tasks, each of which sees a row without the concepts of its causal mask (paper Eq 4-5).

    A view is a row without the concepts of one mask; its input is
        x = sum_c w_c E_c / sqrt(norm_offset + sum_c w_c)    over its visible concepts c,
    where the norm, too, is taken after masking (a norm of the whole row would tell of what is hidden). Models that
    need fields (models/by_field.py) get such an x for each field of the view.
    Each distinct view is computed once, whatever the number of tasks (models/layers/hits.py).

    A subclass calls __init__, makes `self.towers` and what stands before it, calls `finish`, and defines `network`.
    """

    fields: Tensor
    auxiliary_concepts: Tensor
    towers: Heads

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        embedding_dim: int = 64,
        dropout: float = 0.0,
        linear_term: bool = False,
        norm_offset: float = 20.0,
        auxiliary: int = 0,
        auxiliary_hidden: int = 32,
        embedding_std: float = 0.1,
        sparse_embeddings: bool = False,
    ) -> None:
        """fields [vocabulary] int64: the field of each concept.

        dropout: of the network's layers. linear_term: adds a linear model a task over its visible concepts.
        auxiliary: the first so many concepts (the most frequent) are also predicted, see forward_with_auxiliary.
        sparse_embeddings: tables over the vocabulary get sparse gradients.
        """
        super().__init__()
        at_least(1, embedding_dim=embedding_dim, auxiliary_hidden=auxiliary_hidden)
        if not norm_offset > 0:
            raise ValueError(f"norm_offset is above 0, not {norm_offset}")
        if not tasks or len(tasks) != masks.tasks:
            raise ValueError(f"{len(tasks)} tasks, but masks for {masks.tasks}")
        if fields.numel() != masks.vocabulary_size:
            raise ValueError(f"fields of {fields.numel()} concepts, but masks over {masks.vocabulary_size}")
        if not 0 <= auxiliary <= masks.vocabulary_size:
            raise ValueError(f"auxiliary is between 0 and the {masks.vocabulary_size} concepts, not {auxiliary}")
        self.tasks = tuple(tasks)
        self.norm_offset, self.dropout = norm_offset, dropout
        self.embedding_dim = embedding_dim
        self.masks = masks
        self.register_buffer("fields", fields)
        self.register_buffer("auxiliary_concepts", torch.arange(auxiliary))
        self._auxiliary_hidden, self._linear_term = auxiliary_hidden, linear_term
        width = self.tables * embedding_dim
        self.embedding = ConceptEmbedding(masks.vocabulary_size, width, std=embedding_std, sparse=sparse_embeddings)

    @property
    def tables(self) -> int:
        """How many concept tables of embedding_dim columns stand side by side in the one that is looked up."""
        return 1

    def finish(self, copies: int, width: int) -> None:
        """The last call of a constructor: the linear term, and auxiliary heads over [copies, views, width]."""
        vocabulary, sparse = self.masks.vocabulary_size, self.embedding.sparse
        concepts = self.auxiliary_concepts.numel()
        self.linear = (
            ConceptEmbedding(vocabulary, self.towers.heads, std=0.0, sparse=sparse) if self._linear_term else None
        )
        self.auxiliary = AuxiliaryHeads(concepts, copies, width, self._auxiliary_hidden) if concepts else None

    @abstractmethod
    def network(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [views, dim], or [views, fields, dim] -> ([views, heads], [copies, views, width] for auxiliary heads)."""

    def combine(self, by_head: Tensor, x: Tensor) -> Tensor:
        """[views, heads] and the input -> what pair_logits reads: for models in which outputs rest on one another."""
        return by_head

    @property
    def outputs(self) -> int:
        """Columns of the logits: the widest task's."""
        return self.towers.outputs

    def forward(self, batch: Batch) -> Tensor:
        """[pairs, outputs]: the logits of the batch's pairs (columns past a task's own are to be ignored)."""
        return self._forward(batch)[0]

    def forward_with_auxiliary(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The logits and [rows, auxiliary]: of the presence of each auxiliary concept, from the plain rows.

        Meant for rows of which concepts were hidden (models/hiding.py); models/auxiliary.py has the loss.
        """
        if self.auxiliary is None:
            raise ValueError("the model has no auxiliary tasks (setting auxiliary)")
        logits, hidden = self._forward(batch)
        return logits, self.auxiliary(hidden[:, : batch.rows]).to(logits.dtype)

    def extra_loss(self, batch: Batch, logits: Tensor) -> Tensor:
        """What a model adds to the pairs' losses: a sum over rows, of the pairs' logits that forward gave."""
        return logits.new_zeros(())

    def on_step(self, step: int, total_steps: int) -> None:
        """Called before each training step, counted from 0: for what changes by the schedule and is not learnt.

        What it changes is kept in floating-point buffers, which travel with checkpoints and weights.
        """

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

    def find_pair_hits(self, batch: Batch) -> Hits:
        """The masked views of the batch's pairs. Raises ValueError for pairs out of order."""
        keys = batch.pair_rows * len(self.tasks) + batch.pair_tasks
        if not bool((keys[1:] > keys[:-1]).all()):
            raise ValueError("pairs must be distinct and sorted by (row, task)")
        return find_hits(batch, self.masks, keys)

    def inputs(self, batch: Batch, hits: Hits) -> tuple[Tensor, Tensor | None]:
        """x [rows + views, dim], or what `pooled` makes of it, and the linear terms [rows + views, heads]."""
        scale = (self.norm_offset + visible_weights(batch, hits)).rsqrt().unsqueeze(1).to(self.embedding.weight.dtype)
        return self.pooled(batch, hits, scale), None if self.linear is None else self.linear(batch, hits) * scale

    def pooled(self, batch: Batch, hits: Hits, scale: Tensor) -> Tensor:
        """x, where scale [rows + views, 1] is its norm's reciprocal."""
        return self.embedding(batch, hits) * scale

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [pairs, columns], and what the auxiliary heads read: [copies, rows + views, width]."""
        hits = self.find_pair_hits(batch)
        x, linear = self.inputs(batch, hits)
        by_head, hidden = self.network(x)
        by_head = by_head.to(x.dtype) if linear is None else by_head.to(x.dtype) + linear
        views = batch.pair_rows.index_put((hits.pair_positions,), batch.rows + hits.pair_views)
        return self.pair_logits(self.combine(by_head, x), views, batch.pair_tasks), hidden

    def pair_logits(self, by_head: Tensor, views: Tensor, tasks: Tensor) -> Tensor:
        """[views, heads] -> [pairs, outputs] of pairs given by view and task."""
        return self.towers.select(by_head, views, tasks)


def at_least(least: int, **sizes: int) -> None:
    """Raises ValueError naming the first size that is below `least`."""
    for name, size in sizes.items():
        if size < least:
            raise ValueError(f"{name} is at least {least}, not {size}")
