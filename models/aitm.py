"""AITM: what a step of the chain has learnt is passed on to the next by attention (Xi et al., KDD 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.batch import Batch
from models.chains import Chains, needed
from models.layers.networks import Networks
from models.layers.task_towers import TaskTowers
from models.losses import calibrator_loss
from models.masked import MaskedModel
from models.masks import TaskMasks
from models.task import Task


class AITM(MaskedModel):
    """logits_i = Tower_i(z_i), q_i = Network_i(x), and along a chain (Eq 3-7)

        p = g_i(z_(i-1)),   z_i = sum_u softmax_u(<h2(u), h3(u)> / sqrt(width)) h1(u)   over u in {p, q_i}

    with z = q for tasks that have none before. The calibrator (Eq 9) adds to the loss where P(T_i) > P(T_(i-1)).
    Layers of 128, 64, 32 and its weight of 0.6 are the paper's.
    """

    towers: TaskTowers

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        chains: Sequence[Sequence[int]] = (),
        widths: Sequence[int] = (128, 64, 32),
        calibrator_weight: float = 0.6,
        **common: Any,
    ) -> None:
        """chains: of task ids, at least one. `common`: the settings of MaskedModel."""
        super().__init__(tasks, masks, fields, **common)
        if calibrator_weight < 0:
            raise ValueError(f"calibrator_weight is at least 0, not {calibrator_weight}")
        self.chains = Chains(needed(chains, "AITM"), tasks)
        self.calibrator_weight = calibrator_weight
        self.networks = Networks(len(tasks), self.embedding_dim, widths, self.dropout)
        width, links = self.networks.width, len(self.chains.later)
        self.transfer = nn.Parameter(torch.randn(links, width, width) / math.sqrt(width))
        self.transfer_bias = nn.Parameter(torch.zeros(links, 1, width))
        self.attention = nn.Parameter(torch.randn(3, links, width, width) / math.sqrt(width))
        """h1, h2, h3 of each link."""
        self.towers = TaskTowers([task.outputs for task in tasks], width, (), 0.0)
        self.finish(len(tasks), width)

    def network(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """All tasks of all views."""
        own = self.networks(x)
        passed, first = own, 0
        for before, later in self.chains.steps:
            links = slice(first, first + len(later))
            first = links.stop
            received = torch.baddbmm(self.transfer_bias[links], passed[before], self.transfer[links])
            told = torch.stack([received, own[later]])  # [2, links, views, width]
            value, key, query = (told @ h for h in self.attention[:, links])
            shares = torch.softmax((key * query).sum(3, keepdim=True) / math.sqrt(own.shape[2]), dim=0)
            mixed = (shares * value).sum(0).to(passed.dtype)
            passed = passed.index_copy(0, torch.tensor(later, device=x.device), mixed)
        return self.towers(passed), passed

    def extra_loss(self, batch: Batch, logits: Tensor) -> Tensor:
        """The calibrator's sum over rows that have both tasks of a link."""
        before, later = self.chains.linked_pairs(batch)
        return self.calibrator_weight * calibrator_loss(logits[before, 0].sigmoid(), logits[later, 0].sigmoid())
