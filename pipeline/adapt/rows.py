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


class _Rows:
    """What is kept of a task while the split goes by: never more than max_rows of either class."""

    def __init__(self, max_rows: int, fair: bool) -> None:
        self._most, self._fair = max_rows, fair
        self._kept: list[Batch] = []
        self._seen = [0, 0]
        """Negatives and positives that have gone by, kept or not."""

    def add(self, batch: Batch, task: int) -> None:
        """The task's rows of a batch: as many as there is room for; the others are counted."""
        mine = batch.pair_tasks == task
        positive = batch.labels[mine] > 0
        wanted = torch.zeros(len(positive), dtype=torch.bool)
        if self._fair:
            wanted[: max(0, self._most - sum(self._seen))] = True
        for kind, places in enumerate(((~positive).nonzero().squeeze(1), positive.nonzero().squeeze(1))):
            if not self._fair:
                wanted[places[: max(0, self._most - self._seen[kind])]] = True
            self._seen[kind] += len(places)
        if not self._kept or wanted.any():
            self._kept.append(_of_pairs(batch, mine.nonzero().squeeze(1)[wanted]))

    def sample(self) -> SegmentRows:
        """At most max_rows, and what each stands for."""
        batch = concatenate(self._kept)
        positive = batch.labels > 0
        if self._fair or sum(self._seen) <= self._most:
            return SegmentRows(batch, torch.ones(batch.rows))
        positives, negatives = positive.nonzero().squeeze(1), (~positive).nonzero().squeeze(1)
        kept_positives = positives[: max(self._most // 2, self._most - self._seen[0])]
        kept_negatives = negatives[: self._most - len(kept_positives)]
        weights = [
            torch.full((len(kept),), seen / max(1, len(kept)))
            for kept, seen in ((kept_positives, self._seen[1]), (kept_negatives, self._seen[0]))
        ]
        return SegmentRows(take_rows(batch, torch.cat([kept_positives, kept_negatives])), torch.cat(weights))


def rows_of_tasks(
    shards: ShardSet, split: str, tasks: list[int], max_rows: int, concepts: int | None = None, fair: bool = False
) -> Mapping[int, SegmentRows]:
    """The rows of these tasks, in one pass over the split; concepts: only the first so many, those the model knows.

    max_rows: at most so many a task, positives first up to half, then negatives, each of which weighs for those that
    were left out; shards are in a global random order, so the first ones are a fair sample.
    fair: the first max_rows as they come, each of weight 1.
    """
    found = {task: _Rows(max_rows, fair) for task in tasks}
    for _, batch in scan_batches(shards, split, _BATCH_ROWS):
        if concepts is not None:
            batch = batch.of_concepts(concepts)
        for task in tasks:
            found[task].add(batch, task)
    return {task: rows.sample() for task, rows in found.items()}


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


def _of_pairs(batch: Batch, pairs: Tensor) -> Batch:
    """The rows of these pairs of one task, with that pair each."""
    rows = batch.pair_rows[pairs]
    # One pair a row, so that rows can be taken.
    count = torch.arange(batch.rows)
    padded = replace(
        batch,
        pair_rows=count,
        pair_tasks=torch.zeros_like(count).index_put((rows,), batch.pair_tasks[pairs]),
        labels=torch.zeros(batch.rows).index_put((rows,), batch.labels[pairs]),
    )
    return take_rows(padded, rows)
