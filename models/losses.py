"""The loss of each (row, task) pair by its task's kind (paper Eq 8)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.batch import Batch
from models.task import Task


def pair_losses(logits: Tensor, batch: Batch, tasks: Sequence[Task]) -> Tensor:
    """[pairs]: cross-entropy (binary: of the logit; multiclass: over the task's own classes) or squared error.

    logits [pairs, outputs]; batch.labels: 0/1 or a share in [0, 1] (binary), class index (multiclass), number
    (regression). Finite for any finite logits.
    """
    labels = batch.labels.to(logits.dtype)
    kinds = {task.kind for task in tasks}
    losses = F.binary_cross_entropy_with_logits(logits[:, 0], labels, reduction="none")
    if kinds == {"binary"}:
        return losses
    if "regression" in kinds:
        losses = torch.where(_of_kind("regression", tasks, batch), (logits[:, 0] - labels).square(), losses)
    if "multiclass" in kinds:
        outputs = torch.tensor([task.outputs for task in tasks], device=logits.device)[batch.pair_tasks]
        columns = torch.arange(logits.shape[1], device=logits.device)
        own = logits.masked_fill(columns >= outputs[:, None], float("-inf"))
        multiclass = _of_kind("multiclass", tasks, batch)
        target = torch.where(multiclass, batch.labels, 0).long()
        losses = torch.where(multiclass, F.cross_entropy(own, target, reduction="none"), losses)
    return losses


def balanced_weights(positives: Tensor, pairs: Tensor) -> Tensor:
    """[tasks] float32: (p (1 - p))^-1/2 of each task's share of positives p, scaled to mean 1.

    Makes the gradients of rare and common segments alike in size. positives, pairs [tasks]: counts in the support.
    p is kept half a pair away from 0 and 1.
    """
    pairs = pairs.double().clamp(min=1)
    p = torch.clamp(positives.double(), min=torch.full_like(pairs, 0.5), max=(pairs - 0.5)) / pairs
    weights = (p * (1 - p)).rsqrt()
    return (weights / weights.mean()).float()


def _of_kind(kind: str, tasks: Sequence[Task], batch: Batch) -> Tensor:
    """[pairs] bool."""
    return torch.tensor([task.kind == kind for task in tasks], device=batch.pair_tasks.device)[batch.pair_tasks]


def inverse_propensity_loss(errors: Tensor, observed: Tensor, propensities: Tensor) -> Tensor:
    """sum of o e / p: an unbiased sum of errors over the entire space from those observed (ESCM2, Wang et al. 2022).

    errors [n]: of the conditional prediction; observed [n]: 1 where the task before happened, else 0;
    propensities [n]: the predicted probability of that, above 0, taken as given.
    """
    return (observed * errors / propensities).sum()


def doubly_robust_loss(errors: Tensor, imputed: Tensor, observed: Tensor, propensities: Tensor) -> Tensor:
    """sum of e' + o (e - e') / p, with the loss of the imputed errors e', o (e - e')^2 / p (ESCM2 with DR).

    Unbiased where either the propensities or the imputed errors are right. Shapes as above.
    """
    weights = observed / propensities
    robust = imputed + weights * (errors - imputed)
    return (robust + weights * (errors.detach() - imputed).square()).sum()


def calibrator_loss(before: Tensor, later: Tensor) -> Tensor:
    """sum of max(later - before, 0): AITM's behavioural expectation calibrator (Xi et al. 2021, Eq 9).

    before, later [n]: predicted probabilities of two steps of a chain.
    """
    return (later - before).clamp(min=0).sum()


def dependence_loss(before: Tensor, later: Tensor, label_before: Tensor, label_later: Tensor) -> Tensor:
    """sum of ((p_(i-1) - p_i) - (o_(i-1) - o_i))^2: the sequential dependence loss (APEM Eq 21, 23).

    [n] each: predicted probabilities and labels. The target is P(T_i = 0, T_(i-1) = 1 | x), by APEM's Table 1.
    """
    return ((before - later) - (label_before - label_later)).square().sum()
