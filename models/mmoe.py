"""MMoE: experts that all tasks mix, each by a gate of its own (Ma et al., KDD 2018, Eq 5-7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from models.layers.experts import Experts
from models.layers.gates import Gates
from models.layers.towers import Towers
from models.masked import at_least
from models.masks import TaskMasks
from models.mixture import ExpertMixture
from models.task import Task


class MMoE(ExpertMixture):
    """logits_i = Tower_i(sum_e g_ie Expert_e(x)), g_i = softmax(G_i x).

    The sizes, and experts with residual connections, are "as in the MetaCon setting" (MetaCon section 7), so that a
    comparison with MetaAug is not one of plain layers against residual ones. Gates are linear in x, as MMoE's: with
    gate_hidden 0 and no shared outputs MetaAug is this very model.
    """

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
        tower_hidden: int = 32,
        **common: Any,
    ) -> None:
        """tower_hidden: units of a tower's hidden layer, 0: linear. `common`: the settings of MaskedModel."""
        super().__init__(tasks, masks, fields, embedding_dim=embedding_dim, **common)
        at_least(1, experts=experts, expert_layers=expert_layers, expert_width=expert_width)
        at_least(0, tower_hidden=tower_hidden)
        self.experts = Experts(experts, expert_layers, embedding_dim, expert_width, self.dropout)
        self.gates = Gates(len(tasks), experts, embedding_dim, 0)
        self.shared = None
        self.towers = Towers([task.outputs for task in tasks], expert_width, tower_hidden)
        self.finish(experts, expert_width)
