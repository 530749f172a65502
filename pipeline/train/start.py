"""What is known before the first step, from labels and from which concepts stand together in the support."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from models.batch import Batch
from models.implications import Implications, find_implications
from models.initial import correspondence_embeddings
from models.sparse import csr_matrix
from pipeline.shards.batches import concatenate, scan_batches
from pipeline.shards.dataset import ShardSet
from pipeline.train.distribution import World

_BATCH_ROWS = 8192
SAMPLE_ROWS = 500_000
_SAMPLE_ENTRIES = 10_000_000
_IMPLICATION_ENTRIES = 1_000_000
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


def concept_embeddings(shards: ShardSet, dim: int, seed: int, scale: float) -> Tensor:
    """[V, dim] float32: embeddings by correspondence analysis of a sample of the support (models/initial.py)."""
    return correspondence_embeddings(_sample_matrix(shards, _SAMPLE_ENTRIES), shards.vocabulary_size, dim, seed, scale)


def shared_implications(shards: ShardSet, targets: int, world: World) -> Implications:
    """What gives concepts 0..targets-1 away (models/implications.py), from a sample that rank 0 reads."""
    implied_by: dict[int, list[int]] = {}
    if world.is_first:
        targets = min(targets, shards.vocabulary_size)
        found = find_implications(_sample_matrix(shards, _IMPLICATION_ENTRIES), targets)
        offsets, implying = found.offsets.tolist(), found.implying.tolist()
        spans = enumerate(pairwise(offsets))
        implied_by = {concept: implying[start:stop] for concept, (start, stop) in spans if stop > start}
    concepts, lists = world.share([list(implied_by), list(implied_by.values())])
    return Implications(dict(zip(concepts, lists, strict=True)), shards.vocabulary_size)


def _sample_matrix(shards: ShardSet, max_entries: int) -> Tensor:
    """Sparse CSR [sample rows, V] of concept weights."""
    sample = concatenate(list(sample_batches(shards, SAMPLE_ROWS, max_entries)))
    shape = (sample.rows, shards.vocabulary_size)
    return csr_matrix(sample.row_offsets, sample.concept_ids, sample.concept_weights, shape)


def label_statistics(shards: ShardSet, pairs: Sequence[int]) -> LabelStatistics:
    """From the manifest for binary tasks; from a sample of the support for the others, read only if there are any.

    pairs [tasks]: of the support in the space that is trained in (pipeline/train/space.py).
    """
    tasks = shards.tasks
    binary = {
        index: entry.positives.get("support", 0) / max(1, pairs[index])
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
    for batch in sample_batches(shards, SAMPLE_ROWS):
        for task in wanted:
            parts[task].append(batch.labels[batch.pair_tasks == task])
    return {task: torch.cat(part) for task, part in parts.items()}
