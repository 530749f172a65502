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
