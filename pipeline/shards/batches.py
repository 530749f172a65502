"""Shards as batches: lanes of an epoch for training, plain order for evaluation, a matrix for baselines."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

import numpy as np
import torch
from scipy.sparse import csr_matrix

from models.batch import Batch
from pipeline.shards.codec import INT, Rows, join_rows, rows_alike
from pipeline.shards.dataset import ShardSet
from pipeline.shards.order import GroupRun, LanePlan, file_order, lane_plan, lanes_of_rank, row_order, runs_between
from pipeline.shards.prefetch import prefetch
from pipeline.shards.readers import ReaderName, ShardReader, get_reader

_GROUPS_AHEAD = 1
_BATCHES_AHEAD = 8


@dataclass(frozen=True, slots=True)
class LaneBatch:
    """One lane's rows of a global batch; `batch` may have no rows where a data set has fewer rows than lanes."""

    lane: int
    batch: Batch


def epoch_plan(shards: ShardSet, split: str, *, batch_size: int, lanes: int, world: int = 1) -> LanePlan:
    """The steps of an epoch (`.steps`), the same on every rank. Raises UserError for a plan that cannot be."""
    return lane_plan(shards.manifest.splits[split], batch_size=batch_size, lanes=lanes, world=world)


def epoch_batches(
    shards: ShardSet,
    split: str,
    *,
    seed: int,
    epoch: int,
    batch_size: int,
    lanes: int,
    rank: int = 0,
    world: int = 1,
    reader: ReaderName = "pyarrow",
    start_step: int = 0,
) -> Iterator[list[LaneBatch]]:
    """Rank r's part of each global batch, from `start_step` on: one LaneBatch for each of its lanes.

    Rows before start_step are not decoded. Lanes are read ahead in background threads.
    """
    plan = epoch_plan(shards, split, batch_size=batch_size, lanes=lanes, world=world)
    source = _Source(shards, split, seed, epoch, get_reader(reader))
    streams = [_lane_batches(source, plan, lane, start_step) for lane in lanes_of_rank(lanes, rank, world)]
    try:
        yield from (list(of_lanes) for of_lanes in zip(*streams, strict=True))
    finally:
        for stream in streams:
            stream.close()


def scan_batches(
    shards: ShardSet, split: str, batch_size: int, reader: ReaderName = "pyarrow"
) -> Iterator[tuple[list[str], Batch]]:
    """(entity ids, batch) of a split in the order of the files; batches never span row groups."""
    return prefetch(_scan(shards, split, batch_size, get_reader(reader)), _BATCHES_AHEAD)


def _scan(shards: ShardSet, split: str, batch_size: int, reader: ShardReader) -> Iterator[tuple[list[str], Batch]]:
    for file in shards.manifest.splits[split].files:
        for group in reader.read(shards.folder / file.path, range(len(file.row_groups)), entities=True):
            rows, entity_ids = group.take(), group.entity_ids()
            for start in range(0, len(rows), batch_size):
                stop = min(start + batch_size, len(rows))
                yield entity_ids[start:stop], to_batch(rows.slice(start, stop))


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A whole split in memory: features [rows, V] CSR float32; the pairs sorted by (row, task).

    pair_rows, pair_tasks [pairs] int64, labels [pairs] float32.
    """

    entity_ids: list[str]
    features: csr_matrix
    pair_rows: np.ndarray
    pair_tasks: np.ndarray
    labels: np.ndarray

    def of_concepts(self, size: int) -> Matrix:
        """The same rows with the first `size` concepts only."""
        return self if self.features.shape[1] <= size else replace(self, features=self.features[:, :size])

    def first(self, rows: int) -> Matrix:
        """The first rows and their pairs."""
        pairs = int(np.searchsorted(self.pair_rows, rows))
        return Matrix(
            entity_ids=self.entity_ids[:rows],
            features=self.features[:rows],
            pair_rows=self.pair_rows[:pairs],
            pair_tasks=self.pair_tasks[:pairs],
            labels=self.labels[:pairs],
        )

    def of_task(self, task_id: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows in a task's sample space [n] and their labels [n]."""
        mine = self.pair_tasks == task_id
        return self.pair_rows[mine], self.labels[mine]


def load_csr(shards: ShardSet, split: str, max_rows: int | None = None) -> Matrix:
    """A split as one sparse matrix, for baselines: it has to fit in memory.

    max_rows: only the first so many, rounded up to whole row groups; as shards are shuffled, a fair sample.
    """
    reader = get_reader("pyarrow")
    parts: list[Rows] = []
    entity_ids: list[str] = []
    for file in shards.manifest.splits[split].files:
        for group in reader.read(shards.folder / file.path, range(len(file.row_groups)), entities=True):
            if max_rows is not None and len(entity_ids) >= max_rows:
                break
            parts.append(group.take())
            entity_ids.extend(group.entity_ids())
    rows = join_rows(parts)
    features = csr_matrix(
        (rows.concept_weights, rows.concept_ids, rows.concept_offsets), shape=(len(rows), shards.vocabulary_size)
    )
    pair_rows = np.repeat(np.arange(len(rows)), np.diff(rows.pair_offsets))
    return Matrix(
        entity_ids=entity_ids,
        features=features,
        pair_rows=pair_rows,
        pair_tasks=rows.task_ids.astype(np.int64),
        labels=rows.labels,
    )


def to_batch(rows: Rows) -> Batch:
    """Decoded rows as tensors: ids become int64, weights and labels are shared with the rows."""
    pair_rows, pair_tasks = _pairs(rows)
    return Batch(
        concept_ids=torch.from_numpy(rows.concept_ids.astype(np.int64)),
        concept_weights=torch.from_numpy(rows.concept_weights.astype(np.float32, copy=False)),
        row_offsets=torch.from_numpy(rows.concept_offsets),
        pair_rows=pair_rows,
        pair_tasks=pair_tasks,
        labels=torch.from_numpy(rows.labels.astype(np.float32, copy=False)),
    )


def _pairs(rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """pair_rows and pair_tasks [pairs] int64; batches of rows with the same tasks share them."""
    if len(rows) and rows_alike(rows.task_ids, rows.pair_offsets):
        return _pairs_alike(len(rows), rows.task_ids[: rows.pair_offsets[1]].tobytes())
    pair_rows = np.repeat(np.arange(len(rows)), np.diff(rows.pair_offsets))
    return torch.from_numpy(pair_rows), torch.from_numpy(rows.task_ids.astype(np.int64))


@lru_cache(maxsize=4)
def _pairs_alike(rows: int, task_ids: bytes) -> tuple[torch.Tensor, torch.Tensor]:
    tasks = torch.from_numpy(np.frombuffer(task_ids, INT).astype(np.int64))
    return torch.arange(rows).repeat_interleave(len(tasks)), tasks.repeat(rows)


def concatenate(batches: Sequence[Batch]) -> Batch:
    """One batch of the rows of all, in order."""
    if len(batches) == 1:
        return batches[0]
    first_rows = np.cumsum([0, *(batch.rows for batch in batches)]).tolist()
    first_entries = np.cumsum([0, *(batch.concept_ids.numel() for batch in batches)]).tolist()
    offsets = [batch.row_offsets[:-1] + first for batch, first in zip(batches, first_entries, strict=False)]
    end = torch.tensor([first_entries[-1]], dtype=torch.int64, device=batches[0].row_offsets.device)
    pair_rows = [batch.pair_rows + first for batch, first in zip(batches, first_rows, strict=False)]
    return Batch(
        concept_ids=torch.cat([batch.concept_ids for batch in batches]),
        concept_weights=torch.cat([batch.concept_weights for batch in batches]),
        row_offsets=torch.cat([*offsets, end]),
        pair_rows=torch.cat(pair_rows),
        pair_tasks=torch.cat([batch.pair_tasks for batch in batches]),
        labels=torch.cat([batch.labels for batch in batches]),
    )


@dataclass(frozen=True, slots=True)
class _Source:
    shards: ShardSet
    split: str
    seed: int
    epoch: int
    reader: ShardReader

    def rows_between(self, start: int, stop: int) -> Iterator[Rows]:
        """The places start..stop-1 of the epoch's sequence, a row group at a time."""
        entry = self.shards.manifest.splits[self.split]
        runs = runs_between(entry, file_order(entry, self.seed, self.epoch), start, stop)
        for file, of_file in groupby(runs, key=lambda run: run.file):
            wanted: list[GroupRun] = list(of_file)
            path = self.shards.folder / entry.files[file].path
            groups = self.reader.read(path, [run.group for run in wanted])
            for run in wanted:
                size = entry.files[file].row_groups[run.group]
                order = row_order(size, self.seed, self.epoch, file, run.group)
                # No name holds the undecoded group: its memory, still in the cache, is free for the next one.
                yield next(groups).take(order[run.start : run.stop])


def _lane_batches(source: _Source, plan: LanePlan, lane: int, start_step: int) -> Generator[LaneBatch, None, None]:
    """The steps of one lane. Row groups are read and decoded ahead, batches are views of them."""
    if start_step >= plan.steps:
        return
    place, end = plan.step_bounds(lane, start_step)[0], plan.lane_bounds(lane)[1]
    chunks = prefetch(source.rows_between(place, end), _GROUPS_AHEAD)
    chunk, used = join_rows([]), 0
    try:
        for step in range(start_step, plan.steps):
            start, stop = plan.step_bounds(lane, step)
            parts = []
            wanted = stop - start
            while wanted > len(chunk) - used:
                parts.append(chunk.slice(used, len(chunk)))
                wanted -= len(chunk) - used
                chunk, used = next(chunks), 0
            parts.append(chunk.slice(used, used + wanted))
            used += wanted
            yield LaneBatch(lane, to_batch(join_rows([part for part in parts if len(part)])))
    finally:
        chunks.close()
