"""What is known before the first step: output biases from the labels, concept embeddings from co-occurrence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from models.batch import Batch
from models.initial import correspondence_embeddings
from pipeline.shards.batches import concatenate, scan_batches
from pipeline.shards.dataset import ShardSet

_BATCH_ROWS = 8192
_SAMPLE_ROWS = 500_000
_SAMPLE_ENTRIES = 10_000_000
"""Shards are in a global random order, so the first rows of the support are a fair sample."""


@dataclass(frozen=True)
class LabelStatistics:
    """priors [heads]: share of positives (binary), of each class (multiclass), 0 (regression: labels are standardised).
    shift, scale [tasks]: mean and standard deviation of a regression task's labels; 0 and 1 for other kinds.
    """

    priors: Tensor
    shift: Tensor
    scale: Tensor


def sample_batches(shards: ShardSet, max_rows: int, max_entries: int | None = None) -> Iterator[Batch]:
    """The first rows of the support, in large batches, up to so many rows or concept entries."""
    rows = entries = 0
    for _, batch in scan_batches(shards, "support", _BATCH_ROWS):
        yield batch
        rows, entries = rows + batch.rows, entries + batch.concept_ids.numel()
        if rows >= max_rows or (max_entries is not None and entries >= max_entries):
            return


def concept_embeddings(shards: ShardSet, dim: int, seed: int) -> Tensor:
    """[V, dim] float32: embeddings by correspondence analysis of a sample of the support (models/initial.py)."""
    sample = concatenate(list(sample_batches(shards, _SAMPLE_ROWS, _SAMPLE_ENTRIES)))
    size = (sample.rows, shards.vocabulary_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "Sparse CSR tensor support is in beta state"
        matrix = torch.sparse_csr_tensor(
            sample.row_offsets, sample.concept_ids, sample.concept_weights, size, check_invariants=True
        )
    return correspondence_embeddings(matrix, shards.vocabulary_size, dim, seed)


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
    for batch in sample_batches(shards, _SAMPLE_ROWS):
        for task in wanted:
            parts[task].append(batch.labels[batch.pair_tasks == task])
    return {task: torch.cat(part) for task, part in parts.items()}
