"""Training of one segment's own gate and tower over what the rest of the model makes of its rows."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.mixture import ExpertMixture, TaskInputs
from pipeline.adapt.rows import SegmentRows
from pipeline.config.adapting import Adapt
from pipeline.train.validation import auc_of_sorted

State = dict[str, dict[str, Tensor]]
"""Part -> parameter -> value."""
PARTS = ("gates", "towers")
"""What is trained: modules whose every number belongs to one task, so that other tasks' do not move."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """The best that was found: AUC and log loss on validation before and after; rate None: the meta model is kept.

    parts: for each member the state of its PARTS.
    """

    before: tuple[float, float]
    after: tuple[float, float]
    rate: float | None
    parts: list[State]
    validation: Tensor
    """[rows] scores of the validation rows."""


def adapt_segment(members: Sequence[ExpertMixture], rows: SegmentRows, validation: SegmentRows, how: Adapt) -> Adapted:
    """Adam from the meta model's gate and tower, once a learning rate; the epoch and rate of the best validation AUC.

    Never worse than the meta model on validation: where no epoch of no rate has a higher AUC and no higher log loss,
    its numbers are kept. AUC alone rises by chance in one of so many epochs.
    """
    members = [member.eval() for member in members]
    trained = [member.task_inputs(rows.batch) for member in members]
    judged = [member.task_inputs(validation.batch) for member in members]
    labels = validation.batch.labels
    start = [_state(member) for member in members]
    scores = _scores(members, judged)
    before = _quality(scores, labels)
    best = Adapted(before, before, None, start, scores)
    try:
        for rate in how.learning_rates:
            load_parts(members, start)
            for _ in _epochs(members, trained, rows, how, rate):
                scores = _scores(members, judged)
                quality = _quality(scores, labels)
                if quality[0] > best.after[0] and quality[1] <= before[1]:
                    best = Adapted(before, quality, rate, [_state(member) for member in members], scores)
    finally:
        load_parts(members, start)
    return best


def load_parts(members: Sequence[nn.Module], states: Sequence[State]) -> None:
    """Put `Adapted.parts` into the members."""
    for member, state in zip(members, states, strict=True):
        for name in PARTS:
            getattr(member, name).load_state_dict(state[name])


def _epochs(
    members: Sequence[ExpertMixture], inputs: Sequence[TaskInputs], rows: SegmentRows, how: Adapt, rate: float
) -> Iterator[None]:
    """Yields after each epoch."""
    own = [parameter for member in members for name in PARTS for parameter in getattr(member, name).parameters()]
    optimizer = torch.optim.Adam(own, lr=rate)
    generator = torch.Generator().manual_seed(0)
    labels, weights = rows.batch.labels, rows.weights / rows.weights.mean()
    for _ in range(how.epochs):
        for pairs in torch.randperm(rows.batch.rows, generator=generator).split(how.batch_size):
            optimizer.zero_grad(set_to_none=True)
            for member, given in zip(members, inputs, strict=True):
                logits = member.from_inputs(given.take(pairs))[:, 0]
                losses = F.binary_cross_entropy_with_logits(logits, labels[pairs], reduction="none")
                (losses * weights[pairs]).mean().backward()
            optimizer.step()
        yield


@torch.no_grad()
def _scores(members: Sequence[ExpertMixture], inputs: Sequence[TaskInputs]) -> Tensor:
    logits = [member.from_inputs(given)[:, 0] for member, given in zip(members, inputs, strict=True)]
    return torch.stack(logits).mean(0).sigmoid()


def _quality(scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """AUC and log loss."""
    values, truth = scores.double().numpy(), labels.double().numpy()
    order = np.argsort(values, kind="stable")
    loss = F.binary_cross_entropy(scores.double().clamp(1e-7, 1 - 1e-7), labels.double())
    return auc_of_sorted(truth[order], values[order]), float(loss)


def _state(member: nn.Module) -> State:
    return {name: copy.deepcopy(getattr(member, name).state_dict()) for name in PARTS}
