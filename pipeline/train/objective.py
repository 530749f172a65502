"""The training loss: pairs by kind and weight, auxiliary tasks, both normalised so that ranks add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from models.auxiliary import auxiliary_loss
from models.batch import Batch
from models.ensemble import members_of
from models.hiding import HiddenConcepts
from models.losses import balanced_weights, pair_losses
from models.task import Task
from pipeline.config.learning import Train
from pipeline.shards.dataset import ShardSet
from pipeline.train.context import Context
from pipeline.train.space import TrainingSpace
from pipeline.train.start import LabelStatistics


@dataclass(frozen=True, slots=True)
class Loss:
    """What one rank's rows add to the loss of a global batch, and its two parts without gradient.

    per_pair [pairs]: unweighted, without gradient; tells which task a loss that is not finite comes from.
    """

    total: Tensor
    segments: Tensor
    auxiliary: Tensor
    per_pair: Tensor


class Objective:
    """(sum over pairs of weight_task * loss + the model's own terms) / expected pairs
    + auxiliary weight * mean over auxiliary examples.

    Both denominators are constants of the manifest and the global batch (expected pairs of `batch_size` rows; its
    rows x auxiliary tasks), not counts of what a rank happens to hold: so gradients summed over ranks do not depend
    on how many ranks there are, and an epoch's short last batch counts for as much as it holds.
    """

    def __init__(self, context: Context, statistics: LabelStatistics) -> None:
        shards, settings, device = context.shards, context.settings, context.device
        self._tasks: list[Task] = shards.tasks
        support = shards.manifest.splits["support"]
        rows = max(1, min(settings.batch_size, support.rows))
        self._space = TrainingSpace(context.config, shards)
        self._expected_pairs = max(1.0, sum(self._space.pairs) / max(1, support.rows) * rows)
        self._rows = rows
        self._auxiliary_weight = settings.auxiliary.weight
        self._weights = task_weights(shards, settings, self._space.pairs).to(device)
        self._shift = statistics.shift.to(device)
        self._scale = statistics.scale.to(device)

    def standardised(self, batch: Batch) -> Batch:
        """The batch with the labels of regression tasks less their mean, by their standard deviation."""
        tasks = batch.pair_tasks
        return replace(batch, labels=(batch.labels - self._shift[tasks]) / self._scale[tasks])

    def examples(self, batch: Batch) -> Batch:
        """What is trained on: standardised, with the pairs of the training space (pipeline/train/space.py)."""
        return self._space(self.standardised(batch))

    def __call__(self, model: nn.Module, visible: Batch, hidden: HiddenConcepts, with_auxiliary: bool) -> Loss:
        """visible: examples with some concepts hidden; hidden: those concepts.

        An ensemble's total is the sum of its members', so that each is trained as it would be alone; what is shown
        of it is their mean.
        """
        losses = [self._of_member(member, visible, hidden, with_auxiliary) for member in members_of(model)]
        if len(losses) == 1:
            return losses[0]
        return Loss(
            total=torch.stack([loss.total for loss in losses]).sum(),
            segments=torch.stack([loss.segments for loss in losses]).mean(),
            auxiliary=torch.stack([loss.auxiliary for loss in losses]).mean(),
            per_pair=torch.stack([loss.per_pair for loss in losses]).mean(0),
        )

    def _of_member(self, model: nn.Module, visible: Batch, hidden: HiddenConcepts, with_auxiliary: bool) -> Loss:
        if with_auxiliary:
            logits, presence = model.forward_with_auxiliary(visible)  # type: ignore[operator]
            examples = presence.numel() - (visible.concept_ids < presence.shape[1]).sum()
            mean = auxiliary_loss(presence.float(), visible, hidden)
            auxiliary = mean * examples / (self._rows * presence.shape[1])
        else:
            logits = model(visible)
            auxiliary = logits.new_zeros((), dtype=torch.float32)
        per_pair = pair_losses(logits.float(), visible, self._tasks)
        segments = (per_pair * self._weights[visible.pair_tasks]).sum() / self._expected_pairs
        extra: Tensor = model.extra_loss(visible, logits.float())  # type: ignore[operator]
        segments = segments + extra / self._expected_pairs
        total = segments + self._auxiliary_weight * auxiliary
        return Loss(total, segments.detach(), auxiliary.detach(), per_pair.detach())


def task_weights(shards: ShardSet, settings: Train, pairs_of_task: Sequence[int]) -> Tensor:
    """[tasks] float32, mean 1. Tasks that are not binary weigh as a binary one with half positives would.

    pairs_of_task [tasks]: of the support, in the space that is trained in.
    """
    tasks = shards.manifest.tasks
    if settings.task_weighting == "none":
        return torch.ones(len(tasks))
    pairs = torch.tensor(pairs_of_task, dtype=torch.float32)
    positives = torch.tensor(
        [
            task.positives.get("support", 0) if task.kind == "binary" else count / 2
            for task, count in zip(tasks, pairs_of_task, strict=True)
        ]
    )
    return balanced_weights(positives, pairs)


def tasks_not_finite(per_pair: Tensor, batch: Batch, tasks: int) -> Tensor:
    """[tasks] float32: how many of the batch's pairs of each task have a loss that is not finite."""
    bad = ~torch.isfinite(per_pair)
    return torch.zeros(tasks, device=per_pair.device).index_add_(0, batch.pair_tasks[bad], bad[bad].float())
