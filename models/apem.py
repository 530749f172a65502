"""APEM: adaptive pattern extraction for steps of conversion (Tao et al., "Adaptive Pattern Extraction…")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.batch import Batch
from models.by_field import FieldModel
from models.chains import Chains
from models.layers.adaptive import AdaptiveLayer, SelfAttentionLayer
from models.layers.field_network import FieldNetwork
from models.layers.pattern_selector import PatternSelector
from models.layers.task_towers import TaskTowers
from models.losses import dependence_loss
from models.masked import at_least
from models.masks import TaskMasks
from models.task import Task


class APEM(FieldModel):
    """Stacked ASRG layers over the fields, a Pattern Selector on each, a tower a task on the last; see models/layers/.

    gamma, the width of the selectors' soft threshold, falls linearly from gamma_start to gamma_end over the first
    `anneal` of the steps (the paper's 10 - 2e-5 step reaches its floor at half of its 1e6 steps).
    """

    gamma: Tensor
    towers: TaskTowers

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        embedding_dim: int = 18,
        layers: int = 4,
        heads: int = 2,
        points: int = 64,
        selector_hidden: int = 64,
        tower_widths: Sequence[int] = (32,),
        asrg: bool = True,
        pattern_selector: bool = True,
        field_widths: Sequence[int] = (),
        field_products: bool = False,
        selector_norm: bool = False,
        dependence_weight: float = 1.0,
        chains: Sequence[Sequence[int]] = (),
        gamma_start: float = 10.0,
        gamma_end: float = 1e-3,
        anneal: float = 0.5,
        **common: Any,
    ) -> None:
        """The defaults are the paper's. `common`: the settings of FieldModel.

        Ablations: asrg False: self-attention of the fields instead; pattern_selector False: towers read the last layer
        whole; dependence_weight 0: without L_D-Task, which counts where there are chains.
        Beyond the paper: field_widths, field_products: towers also read relu layers over the fields, and the sum of
        their products two by two (models/layers/field_network.py); selector_norm: the selectors' logits are normalised,
        so that gamma (gamma_end about 1) means the same whatever their scale.
        """
        super().__init__(tasks, masks, fields, embedding_dim=embedding_dim, **common)
        at_least(1, layers=layers, heads=heads, points=points, selector_hidden=selector_hidden)
        if embedding_dim % heads:
            raise ValueError(f"embedding_dim is a multiple of heads, not {embedding_dim} with {heads} heads")
        if not 0 < gamma_end <= gamma_start:
            raise ValueError(f"gamma_end is above 0 and at most gamma_start, not {gamma_end} of {gamma_start}")
        if selector_norm and not asrg:
            raise ValueError("selector_norm is of selectors: without ASRG (setting asrg) there are none")
        if not 0 < anneal <= 1 or dependence_weight < 0:
            raise ValueError(f"anneal is in (0, 1], dependence_weight at least 0, not {anneal}, {dependence_weight}")
        self.chains, self.dependence_weight = Chains(chains, tasks), dependence_weight
        self.gamma_start, self.gamma_end, self.anneal = gamma_start, gamma_end, anneal
        self.register_buffer("gamma", torch.tensor(gamma_start))
        inputs = [self.field_count] + [points] * (layers - 1)
        self.layers = nn.ModuleList(
            AdaptiveLayer(count, points, embedding_dim, heads, selector_hidden, selector_norm)
            if asrg
            else SelfAttentionLayer(embedding_dim, heads)
            for count in inputs
        )
        read = len(inputs) if pattern_selector else 0
        self.selectors = nn.ModuleList(PatternSelector(len(tasks), embedding_dim) for _ in range(read))
        width = embedding_dim * (1 if pattern_selector else points if asrg else self.field_count)
        self.beside = None
        if field_widths or field_products:
            self.beside = FieldNetwork(self.field_count, embedding_dim, field_widths, field_products, self.dropout)
            width += self.beside.width
        self.towers = TaskTowers([task.outputs for task in tasks], width, tower_widths, self.dropout)
        self.finish(len(tasks) if pattern_selector else 1, width)

    def network(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [views, fields, dim]."""
        told, beside = None, None if self.beside is None else self.beside(x)
        for number, layer in enumerate(self.layers):
            x = layer(x, self.gamma)
            if self.selectors:
                told = self.selectors[number](x, told)
        hidden = x.flatten(1).unsqueeze(0) if told is None else told.transpose(0, 1)
        if beside is not None:
            hidden = torch.cat([hidden, beside.expand(len(hidden), -1, -1)], dim=2)
        return self.towers(hidden if told is not None else hidden[0]), hidden

    def on_step(self, step: int, total_steps: int) -> None:
        """Anneals gamma."""
        done = step / max(1, total_steps) / self.anneal
        self.gamma.fill_(max(self.gamma_start * (1 - done), self.gamma_end))

    def extra_loss(self, batch: Batch, logits: Tensor) -> Tensor:
        """L_D-Task (Eq 21, 23) over rows that have both tasks of a link."""
        before, later = self.chains.linked_pairs(batch)
        p, labels = logits[:, 0].sigmoid(), batch.labels.to(logits.dtype)
        return self.dependence_weight * dependence_loss(p[before], p[later], labels[before], labels[later])
