"""A segment's labelled rows of a split, as batches of that one task's pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.batch import Batch
from pipeline.shards.batches import concatenate, scan_batches
from pipeline.shards.dataset import ShardSet

_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class SegmentRows:
    """batch: rows with one pair each, of the segment's task; weights [rows]: what each stands for."""

    batch: Batch
    weights: Tensor


def rows_of_tasks(
    shards: ShardSet, split: str, tasks: list[int], max_rows: int | None, concepts: int | None = None
) -> Mapping[int, SegmentRows]:
    """The rows of these tasks, in one pass over the split; concepts: only the first so many, those the model knows.

    max_rows: at most so many a task, positives first up to half, then negatives, each of which weighs for those that
    were left out; shards are in a global random order, so the first ones are a fair sample.
    """
    found: dict[int, list[Batch]] = {task: [] for task in tasks}
    for _, batch in scan_batches(shards, split, _BATCH_ROWS):
        if concepts is not None:
            batch = batch.of_concepts(concepts)
        for task in tasks:
            found[task].append(_of_task(batch, task))
    return {task: _sample(concatenate(batches), max_rows) for task, batches in found.items()}


def take_rows(batch: Batch, rows: Tensor) -> Batch:
    """These rows [n], in this order, of a batch that has one pair a row."""
    lengths = (batch.row_offsets[1:] - batch.row_offsets[:-1])[rows]
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    within = torch.arange(int(offsets[-1])) - offsets[:-1].repeat_interleave(lengths)
    entries = batch.row_offsets[rows].repeat_interleave(lengths) + within
    return Batch(
        concept_ids=batch.concept_ids[entries],
        concept_weights=batch.concept_weights[entries],
        row_offsets=offsets,
        pair_rows=torch.arange(len(rows)),
        pair_tasks=batch.pair_tasks[rows],
        labels=batch.labels[rows],
    )


def _of_task(batch: Batch, task: int) -> Batch:
    mine = batch.pair_tasks == task
    rows = batch.pair_rows[mine]
    count = torch.arange(batch.rows)
    # One pair a row, so that rows can be taken; rows without one get a placeholder and are dropped here.
    padded = replace(
        batch,
        pair_rows=count,
        pair_tasks=torch.full_like(count, task),
        labels=torch.zeros(batch.rows).index_put((rows,), batch.labels[mine]),
    )
    return take_rows(padded, rows)


def _sample(batch: Batch, max_rows: int | None) -> SegmentRows:
    if max_rows is None or batch.rows <= max_rows:
        return SegmentRows(batch, torch.ones(batch.rows))
    positive = batch.labels > 0
    positives, negatives = positive.nonzero().squeeze(1), (~positive).nonzero().squeeze(1)
    kept_positives = positives[: max(max_rows // 2, max_rows - len(negatives))]
    kept_negatives = negatives[: max_rows - len(kept_positives)]
    rows = torch.cat([kept_positives, kept_negatives])
    weights = torch.cat(
        [
            torch.full((len(kept_positives),), len(positives) / max(1, len(kept_positives))),
            torch.full((len(kept_negatives),), len(negatives) / max(1, len(kept_negatives))),
        ]
    )
    return SegmentRows(take_rows(batch, rows), weights)
