"""What is known before the first step: output biases from the labels, concept embeddings from co-occurrence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from models.batch import Batch
from pipeline.shards.batches import scan_batches
from pipeline.shards.dataset import ShardSet

_BATCH_ROWS = 8192
SAMPLE_ROWS = 200_000
"""Shards are in a global random order, so the first rows of the support are a fair sample."""


@dataclass(frozen=True)
class LabelStatistics:
    """priors [heads]: share of positives (binary), of each class (multiclass), 0 (regression: labels are standardised).
    shift, scale [tasks]: mean and standard deviation of a regression task's labels; 0 and 1 for other kinds.
    """

    priors: Tensor
    shift: Tensor
    scale: Tensor


def sample_batches(shards: ShardSet, rows: int = SAMPLE_ROWS) -> Iterator[Batch]:
    """The first rows of the support, in large batches."""
    batches = scan_batches(shards, "support", _BATCH_ROWS)
    seen = 0
    for _, batch in batches:
        yield batch
        seen += batch.rows
        if seen >= rows:
            return


def label_statistics(shards: ShardSet) -> LabelStatistics:
    """From the manifest for binary tasks; from a sample of the support for the others, read only if there are any."""
    tasks = shards.tasks
    binary = {
        index: entry.positives.get("support", 0) / max(1, entry.pairs.get("support", 0))
        for index, entry in enumerate(shards.manifest.tasks)
        if entry.kind == "binary"
    }
    shift, scale = torch.zeros(len(tasks)), torch.ones(len(tasks))
    labels = _labels_by_task(shards, {i for i in range(len(tasks)) if i not in binary})
    priors: list[Tensor] = []
    for index, task in enumerate(tasks):
        if task.kind == "binary":
            priors.append(torch.tensor([binary[index]]))
        elif task.kind == "multiclass":
            counts = torch.bincount(labels[index].long(), minlength=task.outputs).float()
            priors.append((counts + 0.5) / (counts + 0.5).sum())
        else:
            mine = labels[index].double()
            if mine.numel():
                shift[index] = mine.mean()
                spread = float(mine.std(correction=0))
                scale[index] = spread if spread > 0 else 1.0
            priors.append(torch.zeros(1))
    return LabelStatistics(torch.cat(priors), shift, scale)


def _labels_by_task(shards: ShardSet, wanted: set[int]) -> dict[int, Tensor]:
    """task -> the labels of its pairs in the sample."""
    if not wanted:
        return {}
    parts: dict[int, list[Tensor]] = {task: [torch.zeros(0)] for task in wanted}
    for batch in islice(sample_batches(shards), None):
        for task in wanted:
            parts[task].append(batch.labels[batch.pair_tasks == task])
    return {task: torch.cat(part) for task, part in parts.items()}
