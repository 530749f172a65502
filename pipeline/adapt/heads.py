"""Training of one segment's own gate and tower over what the rest of the model makes of its rows."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.mixture import ExpertMixture
from models.one_task import OneTask
from models.task_inputs import TaskInputs
from pipeline.adapt.rows import SegmentRows
from pipeline.config.adapting import Adapt
from pipeline.train.validation import auc_of_sorted


@dataclass(frozen=True, slots=True)
class Adapted:
    """The best that was found: AUC and log loss on validation before and after; rate None: the meta model is kept."""

    before: tuple[float, float]
    after: tuple[float, float]
    rate: float | None
    heads: list[OneTask]
    """Of each member."""
    validation: Tensor
    """[rows] scores of the validation rows."""


def adapt_segment(
    members: Sequence[ExpertMixture], task: int, rows: SegmentRows, validation: SegmentRows, how: Adapt
) -> Adapted:
    """Adam from the meta model's gate and tower, once a learning rate; the epoch and rate of the best validation AUC.

    Never worse than the meta model on validation: an epoch counts where its AUC is higher and its log loss lower by
    `how.margin` standard errors of the rows' differences; where none does, the meta model's numbers are kept. AUC alone
    rises by chance in one of so many epochs. The members do not change.
    """
    members = [member.eval() for member in members]
    trained = [member.task_inputs(rows.batch) for member in members]
    judged = [member.task_inputs(validation.batch) for member in members]
    labels = validation.batch.labels
    start = [OneTask(member, task) for member in members]
    scores = _scores(start, judged)
    losses = _losses(scores, labels)
    before = (_auc(scores, labels), float(losses.mean()))
    best = Adapted(before, before, None, start, scores)
    for rate in how.learning_rates:
        heads = copy.deepcopy(start)
        for _ in _epochs(heads, trained, rows, how, rate):
            scores = _scores(heads, judged)
            gains = losses - _losses(scores, labels)
            auc = _auc(scores, labels)
            if auc > best.after[0] and float(gains.mean()) > how.margin * float(gains.std()) / math.sqrt(len(gains)):
                quality = (auc, float((losses - gains).mean()))
                best = Adapted(before, quality, rate, copy.deepcopy(heads), scores)
    return best


def _epochs(
    heads: Sequence[OneTask], inputs: Sequence[TaskInputs], rows: SegmentRows, how: Adapt, rate: float
) -> Iterator[None]:
    """Yields after each epoch."""
    optimizer = torch.optim.Adam([parameter for head in heads for parameter in head.parameters()], lr=rate, fused=True)
    generator = torch.Generator().manual_seed(0)
    labels, weights = rows.batch.labels, rows.weights / rows.weights.mean()
    for _ in range(how.epochs):
        order = torch.randperm(rows.batch.rows, generator=generator)
        shuffled = [given.take(order) for given in inputs]
        for start in range(0, len(order), how.batch_size):
            batch = order[start : start + how.batch_size]
            own, of_rows = labels[batch], weights[batch]
            optimizer.zero_grad(set_to_none=True)
            for head, given in zip(heads, shuffled, strict=True):
                losses = F.binary_cross_entropy_with_logits(
                    head(given.between(start, start + how.batch_size)), own, reduction="none"
                )
                (losses * of_rows).mean().backward()
            optimizer.step()
        yield


@torch.no_grad()
def _scores(heads: Sequence[OneTask], inputs: Sequence[TaskInputs]) -> Tensor:
    return torch.stack([head(given) for head, given in zip(heads, inputs, strict=True)]).mean(0).sigmoid()


def _auc(scores: Tensor, labels: Tensor) -> float:
    values = scores.double().numpy()
    order = np.argsort(values, kind="stable")
    return auc_of_sorted(labels.double().numpy()[order], values[order])


def _losses(scores: Tensor, labels: Tensor) -> Tensor:
    """[rows]: each row's log loss."""
    return F.binary_cross_entropy(scores.double().clamp(1e-7, 1 - 1e-7), labels.double(), reduction="none")
