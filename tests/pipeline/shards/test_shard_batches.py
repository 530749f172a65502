"""Batches of shards, by either reader."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from petastorm.workers_pool import EmptyResultError
from petastorm.workers_pool.thread_pool import ThreadPool

from models.batch import Batch
from pipeline.shards.batches import concatenate, epoch_batches, epoch_plan, load_csr, scan_batches, to_batch
from pipeline.shards.codec import FLOAT, INT, Rows
from pipeline.shards.dataset import ShardSet
from pipeline.shards.prefetch import prefetch
from pipeline.shards.readers import PyarrowReader, get_reader
from tests.pipeline.shards.conftest import SIZES, make_rows

TENSORS = ("concept_ids", "concept_weights", "row_offsets", "pair_rows", "pair_tasks", "labels")


def assert_same(one: Batch, other: Batch) -> None:
    for name in TENSORS:
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def rows_of(batch: Batch) -> list[tuple]:
    """One tuple a row: its concepts, weights and (task, label) pairs."""
    found = []
    for row in range(batch.rows):
        entries = slice(int(batch.row_offsets[row]), int(batch.row_offsets[row + 1]))
        pairs = batch.pair_rows == row
        found.append(
            (
                tuple(batch.concept_ids[entries].tolist()),
                tuple(batch.concept_weights[entries].tolist()),
                tuple(zip(batch.pair_tasks[pairs].tolist(), batch.labels[pairs].tolist(), strict=True)),
            )
        )
    return found


def epoch(shards: ShardSet, **changes: object) -> list[list]:
    settings = {"seed": 1, "epoch": 0, "batch_size": 16, "lanes": 4, **changes}
    return list(epoch_batches(shards, "support", **settings))


@pytest.mark.parametrize("reader", ["pyarrow", "petastorm"])
def test_an_epoch_is_every_row_once(shards: ShardSet, reader: str) -> None:
    seen = [row for step in epoch(shards, reader=reader) for part in step for row in rows_of(part.batch)]
    whole = concatenate([batch for _, batch in scan_batches(shards, "support", 7)])
    assert sorted(seen) == sorted(rows_of(whole))
    assert seen != rows_of(whole)


def test_both_readers_give_the_same_batches(shards: ShardSet) -> None:
    for mine, other in zip(epoch(shards, reader="pyarrow"), epoch(shards, reader="petastorm"), strict=True):
        for one, two in zip(mine, other, strict=True):
            assert one.lane == two.lane
            assert_same(one.batch, two.batch)


def test_petastorm_ending_before_it_has_begun_loses_no_row(shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    get_results, begun = ThreadPool.get_results, set()

    def hasty(pool: ThreadPool) -> object:
        if pool not in begun:
            begun.add(pool)
            raise EmptyResultError
        return get_results(pool)

    monkeypatch.setattr(ThreadPool, "get_results", hasty)
    assert sum(part.batch.rows for step in epoch(shards, reader="petastorm") for part in step) == SIZES["support"]
    assert begun


def test_ranks_read_the_lanes_that_one_process_reads(shards: ShardSet) -> None:
    whole = epoch(shards)
    ranks = [epoch(shards, rank=rank, world=2) for rank in range(2)]
    assert len(ranks[0]) == len(ranks[1]) == len(whole) == epoch_plan(shards, "support", batch_size=16, lanes=4).steps
    for step, of_one in enumerate(whole):
        of_ranks = {part.lane: part.batch for rank in ranks for part in rank[step]}
        assert sorted(of_ranks) == [0, 1, 2, 3]
        for part in of_one:
            assert_same(part.batch, of_ranks[part.lane])


@pytest.mark.parametrize("reader", ["pyarrow", "petastorm"])
@pytest.mark.parametrize("start", [1, 4, 6, 7, 50])
def test_resuming_at_a_step_gives_the_steps_that_were_left(shards: ShardSet, reader: str, start: int) -> None:
    left = epoch(shards)[start:]
    resumed = epoch(shards, reader=reader, start_step=start)
    assert len(resumed) == len(left)
    for one, two in zip(left, resumed, strict=True):
        for a, b in zip(one, two, strict=True):
            assert_same(a.batch, b.batch)


def test_resuming_does_not_read_what_came_before(shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    groups_read: list[int] = []
    read = PyarrowReader.read

    def counting(self, path, groups, *, entities=False):
        groups_read.extend(groups)
        yield from read(self, path, groups, entities=entities)

    monkeypatch.setattr(PyarrowReader, "read", counting)
    epoch(shards, lanes=1)
    whole = len(groups_read)
    groups_read.clear()
    epoch(shards, lanes=1, start_step=5)
    assert 0 < len(groups_read) <= whole // 3 + 1


@pytest.mark.parametrize("tasks", [[0, 2, 5], [4], []])
def test_rows_with_the_same_tasks_are_paired_like_any_others(tasks: list[int]) -> None:
    for count in (1, 3):
        batch = to_batch(
            Rows(
                concept_ids=np.empty(0, INT),
                concept_weights=np.empty(0, FLOAT),
                concept_offsets=np.zeros(count + 1, np.int64),
                task_ids=np.tile(np.array(tasks, INT), count),
                labels=np.zeros(count * len(tasks), FLOAT),
                pair_offsets=np.arange(count + 1) * len(tasks),
            )
        )
        pairs = list(zip(batch.pair_rows.tolist(), batch.pair_tasks.tolist(), strict=True))
        assert pairs == [(row, task) for row in range(count) for task in tasks]
        assert batch.pair_rows.dtype == batch.pair_tasks.dtype == torch.int64


def test_no_more_is_made_ahead_than_asked_for() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(6):
            made.append(number)
            yield number

    ahead = prefetch(source(), 2)
    for number in ahead:
        assert len(made) <= number + 1 + 2
    assert made == list(range(6))


def test_fewer_rows_than_lanes_leaves_lanes_without_rows(shards: ShardSet) -> None:
    (step,) = epoch_batches(shards, "validation", seed=0, epoch=0, batch_size=12, lanes=12)
    assert [part.batch.rows for part in step] == [1] * 10 + [0, 0]
    assert concatenate([part.batch for part in step]).rows == 10


def test_concatenated_batches_are_the_batch_of_all_rows(shards: ShardSet) -> None:
    parts = [batch for _, batch in scan_batches(shards, "query", 3)]
    whole = concatenate(parts)
    assert whole.rows == SIZES["query"]
    assert rows_of(whole) == [row for part in parts for row in rows_of(part)]
    assert (torch.diff(whole.pair_rows) >= 0).all()


def test_a_scan_gives_the_entities_in_the_order_of_the_files(shards: ShardSet) -> None:
    entity_ids = [entity for ids, batch in scan_batches(shards, "query", 5) for entity in ids]
    assert entity_ids == [f"query{row}" for row in range(SIZES["query"])]


def test_a_matrix_holds_what_was_written(shards: ShardSet) -> None:
    matrix = load_csr(shards, "support")
    rows = make_rows(SIZES["support"])
    assert matrix.features.shape == (SIZES["support"], shards.vocabulary_size)
    assert np.array_equal(matrix.features.indices, rows.concept_ids)
    assert np.array_equal(matrix.features.data, rows.concept_weights)
    members, labels = matrix.of_task(1)
    assert np.array_equal(members, np.arange(0, SIZES["support"], 2))
    assert np.array_equal(labels, rows.labels[rows.task_ids == 1])


def test_leaving_an_epoch_early_stops_its_threads(shards: ShardSet) -> None:
    steps = epoch_batches(shards, "support", seed=0, epoch=0, batch_size=4, lanes=4)
    list(islice(steps, 2))
    steps.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "shard-prefetch"]


def test_an_error_while_reading_is_raised_where_the_batches_are_used(shards: ShardSet, shard_folder: Path) -> None:
    for path in shard_folder.glob("support/*"):
        path.write_bytes(b"not parquet")
    with pytest.raises(Exception, match=r"[Pp]arquet"):
        epoch(shards)


def test_an_unknown_reader_is_refused() -> None:
    with pytest.raises(ValueError, match="petastorm"):
        get_reader("csv")  # type: ignore[arg-type]
