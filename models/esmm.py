"""ESMM: conversions learnt in the entire space, through the product of the chain (Ma et al., SIGIR 2018, Eq 1-4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.chains import Chains, needed
from models.layers.networks import Networks
from models.layers.task_towers import TaskTowers
from models.masked import MaskedModel
from models.masks import TaskMasks
from models.task import Task


class ESMM(MaskedModel):
    """P(T_i) = P(T_i | T_(i-1)) P(T_(i-1)) along a chain: pCTCVR = pCTR pCVR. Each factor is a network on shared x.

    The logits of a task are those of P(T_i), so that the pairs' losses are ESMM's L_CTR + L_CTCVR. After the columns
    of the widest task stands one more: the logit of P(T_i | T_(i-1)). Layers of 512, 512 are MetaCon's (section 7).
    """

    towers: TaskTowers

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        chains: Sequence[Sequence[int]] = (),
        widths: Sequence[int] = (512, 512),
        **common: Any,
    ) -> None:
        """chains: of task ids, at least one. `common`: the settings of MaskedModel."""
        super().__init__(tasks, masks, fields, **common)
        self.chains = Chains(needed(chains, type(self).__name__), tasks)
        self.networks = Networks(len(tasks), self.embedding_dim, widths, self.dropout)
        self.towers = TaskTowers([task.outputs for task in tasks], self.networks.width, (), 0.0)
        self.finish(len(tasks), self.networks.width)

    def network(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of P(T_i | T_(i-1))."""
        hidden = self.networks(x)
        return self.towers(hidden), hidden

    def combine(self, by_head: Tensor, x: Tensor) -> Tensor:
        """[views, 2 heads]: logits of P(T_i), then of P(T_i | T_(i-1))."""
        return torch.cat([self.chains.entire_logits(by_head, self.towers.heads_of_task[:, 0]), by_head], dim=1)

    def pair_logits(self, by_head: Tensor, views: Tensor, tasks: Tensor) -> Tensor:
        """[pairs, outputs + 1]."""
        entire, conditional = by_head.split(self.towers.heads, dim=1)
        return torch.cat(
            [self.towers.select(entire, views, tasks), self.towers.select(conditional, views, tasks)[:, :1]], dim=1
        )

    def start_from_priors(self, priors: Tensor) -> None:
        """The prior of a factor is the share of its task among that of the one before."""
        super().start_from_priors(priors)
        head = self.towers.heads_of_task[:, 0]
        share = priors.double().clamp(1e-6, 1 - 1e-6)
        with torch.no_grad():
            for before, later in self.chains.steps:
                of_before, of_later = head[before].to(share.device), head[later].to(share.device)
                factor = (share[of_later] / share[of_before]).clamp(1e-6, 1 - 1e-6)
                self.towers.bias[of_later.to(self.towers.bias.device)] = factor.logit().to(self.towers.bias)
