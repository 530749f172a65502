"""MetaAug: one mixture of experts for all segments, each under its own causal mask (paper section 4, Eq 4-9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.batch import Batch
from models.layers.embedding import field_weights
from models.layers.experts import Experts
from models.layers.field_crosses import FieldCrosses
from models.layers.gates import Gates
from models.layers.hits import Hits
from models.layers.shared_outputs import SharedOutputs
from models.layers.towers import Towers
from models.masked import at_least
from models.masks import TaskMasks
from models.mixture import ExpertMixture
from models.task import Task


class MetaAug(ExpertMixture):
    """The model of the paper; see models/mixture.py for how it is computed, models/layers/ for its parts."""

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
        crosses: int = 0,
        cross_width: int = 64,
        cross_rank: int = 16,
        **common: Any,
    ) -> None:
        """The defaults are the paper's sizes; `common` are the settings of MaskedModel.

        gate_hidden, tower_hidden: units of a gate's and a tower's hidden layer, 0: linear.
        gate_input: False: a task weighs the experts the same for every row; gate_hidden is then 0.
        shared_outputs: width of a linear layer shared by all tasks between experts and towers, 0: none.
        crosses: layers of feature crosses (models/layers/field_crosses.py) of this width and rank, 0: none. Beyond the
        paper: experts and gates read them beside x, and towers beside what the experts made of them.
        """
        super().__init__(tasks, masks, fields, embedding_dim=embedding_dim, **common)
        at_least(1, experts=experts, expert_layers=expert_layers, expert_width=expert_width)
        at_least(0, gate_hidden=gate_hidden, tower_hidden=tower_hidden, shared_outputs=shared_outputs)
        at_least(0, crosses=crosses, cross_rank=cross_rank)
        at_least(1, cross_width=cross_width)
        if gate_hidden and not gate_input:
            raise ValueError(f"gate_hidden is 0 where gate_input is false, not {gate_hidden}")
        self.field_count = int(fields.max()) + 1
        self.crosses = (
            FieldCrosses(self.field_count, embedding_dim, cross_width, crosses, cross_rank) if crosses else None
        )
        width = embedding_dim + (cross_width if crosses else 0)
        self.experts = Experts(experts, expert_layers, width, expert_width, self.dropout)
        self.gates = Gates(len(tasks), experts, width if gate_input else 0, gate_hidden)
        self.shared = SharedOutputs(experts, expert_width, width, shared_outputs) if shared_outputs else None
        self.passing = cross_width if crosses and not shared_outputs else 0
        self.towers = Towers(
            [task.outputs for task in tasks], shared_outputs or expert_width + self.passing, tower_hidden
        )
        self.finish(experts, expert_width)

    def pooled(self, batch: Batch, hits: Hits, scale: Tensor) -> Tensor:
        """x [rows + views, embedding_dim], with the crosses beside it where there are some."""
        if self.crosses is None:
            return super().pooled(batch, hits, scale)
        sums = self.embedding.by_field(batch, hits, self.fields, self.field_count)
        weights = field_weights(batch, hits, self.fields, self.field_count)
        return torch.cat([sums.sum(1) * scale, self.crosses(sums, weights)], dim=1)
