"""ESCM2: ESMM with a debiased loss of the conditional probability (Wang et al., SIGIR 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.batch import Batch
from models.esmm import ESMM
from models.layers.networks import Networks
from models.losses import doubly_robust_loss, inverse_propensity_loss
from models.masks import TaskMasks
from models.task import Task


class ESCM2(ESMM):
    """L = L_CTR + L_CTCVR + counterfactual_weight * L_CVR; L_CVR by inverse propensity (ipw) or doubly robust (dr).

    The propensity of a conversion being seen is the predicted click, without gradient and at least `propensity_floor`.
    dr has a third network a factor, which predicts the error of the second. It is the last column of the logits.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        kind: str = "dr",
        counterfactual_weight: float = 1.0,
        propensity_floor: float = 0.01,
        widths: Sequence[int] = (512, 512),
        **common: Any,
    ) -> None:
        """`common`: the other settings of ESMM."""
        if kind not in ("ipw", "dr"):
            raise ValueError(f"kind is ipw or dr, not {kind!r}")
        if not 0 < propensity_floor <= 1:
            raise ValueError(f"propensity_floor is above 0 and at most 1, not {propensity_floor}")
        if counterfactual_weight < 0:
            raise ValueError(f"counterfactual_weight is at least 0, not {counterfactual_weight}")
        super().__init__(tasks, masks, fields, widths=widths, **common)
        self.kind, self.weight, self.floor = kind, counterfactual_weight, propensity_floor
        if kind == "dr":
            factors = len(self.chains.later)
            self.imputation = Networks(factors, self.embedding_dim, widths, self.dropout)
            self.imputation_last = torch.nn.Parameter(torch.randn(factors, self.imputation.width, 1) * 0.01)
            self.imputation_bias = torch.nn.Parameter(torch.zeros(factors, 1, 1))

    def combine(self, by_head: Tensor, x: Tensor) -> Tensor:
        """ESMM's, and for dr [views, tasks] more: the imputed errors before softplus, 0 for tasks that have none."""
        combined = super().combine(by_head, x)
        if self.kind == "ipw":
            return combined
        imputed = torch.baddbmm(self.imputation_bias, self.imputation(x), self.imputation_last).squeeze(2).t()
        columns = torch.tensor(self.chains.later, device=x.device)
        by_task = imputed.new_zeros(len(x), len(self.tasks)).index_copy(1, columns, imputed)
        return torch.cat([combined, by_task.to(combined.dtype)], dim=1)

    def pair_logits(self, by_head: Tensor, views: Tensor, tasks: Tensor) -> Tensor:
        """[pairs, outputs + 1], for dr + 2."""
        heads = 2 * self.towers.heads
        logits = super().pair_logits(by_head[:, :heads], views, tasks)
        return logits if self.kind == "ipw" else torch.cat([logits, by_head[views, heads + tasks].unsqueeze(1)], dim=1)

    def extra_loss(self, batch: Batch, logits: Tensor) -> Tensor:
        """The weighted sum over rows that have both tasks of a link."""
        before, later = self.chains.linked_pairs(batch)
        labels = batch.labels.to(logits.dtype)
        errors = F.binary_cross_entropy_with_logits(logits[later, self.outputs], labels[later], reduction="none")
        propensities = logits[before, 0].detach().sigmoid().clamp(min=self.floor)
        if self.kind == "ipw":
            return self.weight * inverse_propensity_loss(errors, labels[before], propensities)
        imputed = F.softplus(logits[later, self.outputs + 1])
        return self.weight * doubly_robust_loss(errors, imputed, labels[before], propensities)
