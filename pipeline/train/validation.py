"""How good the model is on a split, over all ranks: metrics on the full set, never averaged over batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.batch import Batch
from models.losses import pair_losses
from models.task import Task
from pipeline.shards.batches import scan_batches
from pipeline.shards.dataset import ShardSet
from pipeline.train.context import Context
from pipeline.train.distribution import World

_BATCH_ROWS = 4096
SELECTION_METRIC = {"binary": "auc", "multiclass": "accuracy", "regression": "r2"}
"""What a task counts with in the mean that picks the epoch; all are at most 1, and higher is better."""


@dataclass(frozen=True)
class PairScores:
    """The pairs of a split, in no particular order; [pairs] each.

    scores: probability (binary), prediction (regression), 1 where the likeliest class is the true one (multiclass).
    losses: what the training loss is for the pair, unweighted.
    """

    tasks: NDArray[np.int64]
    labels: NDArray[np.float32]
    scores: NDArray[np.float32]
    losses: NDArray[np.float32]


@dataclass(frozen=True)
class Quality:
    """Means over tasks, and each task's metrics by name. A mean over nothing is None."""

    mean: float | None = None
    loss: float | None = None
    groups: dict[str, float] = field(default_factory=dict)
    tasks: dict[str, dict[str, float]] = field(default_factory=dict)

    def selected(self, by: Literal["mean", "niche", "loss"]) -> float | None:
        """The figure that picks the epoch, higher is better; the mean over all where no niche task can be judged."""
        if by == "loss":
            return None if self.loss is None else -self.loss
        return self.groups.get("niche", self.mean) if by == "niche" else self.mean


@torch.no_grad()
def score_pairs(
    model: nn.Module, context: Context, split: str, prepare: Callable[[Batch], Batch], max_batches: int | None = None
) -> PairScores:
    """Score every labelled pair of a split, or of its first batches.

    Rank r takes every world.size-th batch; all ranks get all pairs. `prepare` is applied to each batch, for labels
    that the model knows on another scale.
    """
    shards, world = context.shards, context.world
    model.eval()
    columns: list[list[Tensor]] = [[], [], [], []]
    for batch in _batches_of_rank(shards, split, world, max_batches):
        moved = prepare(batch.to(context.device))
        with context.autocast():
            logits = model(moved)
        logits = logits.float()
        losses = pair_losses(logits, moved, shards.tasks)
        found = (moved.pair_tasks, moved.labels, _pair_scores(logits, moved, shards.tasks), losses)
        for column, values in zip(columns, found, strict=True):
            column.append(values.cpu())
    kinds = (torch.int64, torch.float32, torch.float32, torch.float32)
    whole = [
        world.gather(torch.cat(column) if column else torch.zeros(0, dtype=kind)).numpy()
        for column, kind in zip(columns, kinds, strict=True)
    ]
    return PairScores(*whole)


def _batches_of_rank(shards: ShardSet, split: str, world: World, max_batches: int | None) -> Iterator[Batch]:
    batches = islice(scan_batches(shards, split, _BATCH_ROWS), max_batches)
    for index, (_, batch) in enumerate(batches):
        if index % world.size == world.rank:
            yield batch


def _pair_scores(logits: Tensor, batch: Batch, tasks: list[Task]) -> Tensor:
    kind = torch.tensor([("regression", "binary", "multiclass").index(task.kind) for task in tasks])
    of_pair = kind.to(logits.device)[batch.pair_tasks]
    first = logits[:, 0]
    outputs = torch.tensor([task.outputs for task in tasks], device=logits.device)[batch.pair_tasks]
    own = torch.arange(logits.shape[1], device=logits.device) < outputs[:, None]
    right = logits.masked_fill(~own, -math.inf).argmax(1) == batch.labels.long()
    return torch.where(of_pair == 1, first.sigmoid(), torch.where(of_pair == 2, right.float(), first))


def judge(scores: PairScores, tasks: list[Task], groups: list[str]) -> Quality:
    """Metrics of each task, and means over the tasks for which they exist (AUC needs both classes)."""
    order = np.lexsort((scores.scores, scores.tasks))
    bounds = np.searchsorted(scores.tasks[order], np.arange(len(tasks) + 1))
    found: dict[str, dict[str, float]] = {}
    by_group: dict[str, list[float]] = {}
    for task, group, start, stop in zip(tasks, groups, bounds[:-1], bounds[1:], strict=True):
        if start == stop:
            continue
        mine = order[start:stop]
        labels, values = scores.labels[mine].astype(np.float64), scores.scores[mine].astype(np.float64)
        metrics = {"loss": float(scores.losses[mine].mean(dtype=np.float64))}
        name = SELECTION_METRIC[task.kind]
        value = _METRICS[task.kind](labels, values)
        if not math.isnan(value):
            metrics[name] = value
            by_group.setdefault(group, []).append(value)
        found[task.name] = metrics
    every = [value for values in by_group.values() for value in values]
    return Quality(
        mean=float(np.mean(every)) if every else None,
        loss=float(np.mean([metrics["loss"] for metrics in found.values()])) if found else None,
        groups={group: float(np.mean(values)) for group, values in sorted(by_group.items())},
        tasks=found,
    )


def auc_of_sorted(labels: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """Area under the ROC curve of rows in ascending order of score, ties counted half; NaN without both classes."""
    positives = labels.sum()
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return math.nan
    _, first, counts = np.unique(scores, return_index=True, return_counts=True)
    mid_ranks = np.repeat(first + (counts + 1) / 2, counts)
    return float((labels @ mid_ranks - positives * (positives + 1) / 2) / (positives * negatives))


def _accuracy(_: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return float(right.mean())


def _r2(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
    """Share of the variance explained; NaN where all labels are equal."""
    spread = np.square(labels - labels.mean()).sum()
    return float(1 - np.square(labels - predictions).sum() / spread) if spread > 0 else math.nan


_METRICS = {"binary": auc_of_sorted, "multiclass": _accuracy, "regression": _r2}
