"""No row is lost or doubled, every rank steps alike, and global batches do not depend on the number of ranks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.shards.manifest import FileEntry, SplitEntry
from pipeline.shards.order import LanePlan, file_order, lane_plan, lanes_of_rank, row_order, runs_between


def make_split(*files: list[int]) -> SplitEntry:
    entries = [
        FileEntry(path=f"part-{i}", rows=sum(groups), bytes=0, sha256="", row_groups=groups)
        for i, groups in enumerate(files)
    ]
    return SplitEntry(rows=sum(entry.rows for entry in entries), pairs=0, files=entries)


def places(split: SplitEntry, start: int, stop: int, seed: int = 3, epoch: int = 0) -> list[tuple[int, int, int]]:
    """(file, group, row) at each place of the sequence."""
    found = []
    for run in runs_between(split, file_order(split, seed, epoch), start, stop):
        order = row_order(split.files[run.file].row_groups[run.group], seed, epoch, run.file, run.group)
        found += [(run.file, run.group, int(row)) for row in order[run.start : run.stop]]
    return found


def every_row(split: SplitEntry) -> list[tuple[int, int, int]]:
    return [
        (number, group, row)
        for number, file in enumerate(split.files)
        for group, rows in enumerate(file.row_groups)
        for row in range(rows)
    ]


splits = st.lists(st.lists(st.integers(1, 9), max_size=4), max_size=5).map(lambda files: make_split(*files))


@settings(max_examples=200, deadline=None)
@given(splits, st.integers(1, 9), st.integers(1, 7), st.integers(0, 3))
def test_the_steps_of_all_lanes_hold_every_row_once(split: SplitEntry, lanes: int, per_step: int, epoch: int) -> None:
    plan = LanePlan(split.rows, lanes, per_step)
    seen = []
    for lane in range(lanes):
        for step in range(plan.steps):
            start, stop = plan.step_bounds(lane, step)
            if step < plan.steps - 1:
                assert stop - start == per_step
            assert stop - start <= per_step + 1
            seen += places(split, start, stop, epoch=epoch)
    assert sorted(seen) == every_row(split)


@pytest.mark.parametrize(("world", "lanes", "batch_size"), [*product([1, 2, 3, 4, 6], [12], [12, 24, 60]), (5, 5, 5)])
@pytest.mark.parametrize("files", [([8] * 6,), ([5, 5, 1], [5, 5, 5, 2]), ([64, 1, 1, 1, 1, 1],)])
def test_ranks_share_the_global_batches_out(world: int, lanes: int, batch_size: int, files: tuple[list[int]]) -> None:
    split = make_split(*files)
    plan = lane_plan(split, batch_size=batch_size, lanes=lanes, world=world)
    owners = [lanes_of_rank(lanes, rank, world) for rank in range(world)]
    assert sorted(lane for mine in owners for lane in mine) == list(range(lanes))
    for step in range(plan.steps):
        of_one = [place for lane in range(lanes) for place in places(split, *plan.step_bounds(lane, step))]
        of_many = [place for mine in owners for lane in mine for place in places(split, *plan.step_bounds(lane, step))]
        assert sorted(of_one) == sorted(of_many)
        if step < plan.steps - 1:
            assert len(of_one) == batch_size
    assert plan.steps == lane_plan(split, batch_size=batch_size, lanes=lanes, world=1).steps


def test_lanes_differ_by_at_most_one_row() -> None:
    for rows, lanes in product(range(40), range(1, 9)):
        plan = LanePlan(rows, lanes, 3)
        lengths = [stop - start for start, stop in map(plan.lane_bounds, range(lanes))]
        assert sum(lengths) == rows
        assert max(lengths) - min(lengths) <= 1


def test_an_epoch_has_an_order_of_its_own_and_the_same_every_time() -> None:
    split = make_split([8] * 5, [8] * 5, [8] * 5)
    assert places(split, 0, 120, epoch=1) == places(split, 0, 120, epoch=1)
    assert places(split, 0, 120, epoch=1) != places(split, 0, 120, epoch=2)
    assert places(split, 0, 120, seed=1) != places(split, 0, 120, seed=2)
    assert not np.array_equal(row_order(8192, 0, 0, 0, 0), row_order(8192, 0, 0, 0, 1))


def test_plans_that_cannot_be_are_refused() -> None:
    split = make_split([4, 4])
    with pytest.raises(UserError, match="3 ranks do not divide"):
        lane_plan(split, batch_size=8, lanes=4, world=3)
    with pytest.raises(UserError, match=r"train\.batch_size is 10"):
        lane_plan(split, batch_size=10, lanes=4, world=1)
    with pytest.raises(UserError, match=r"2 row groups for 4 ranks.*rows_per_group"):
        lane_plan(split, batch_size=8, lanes=4, world=4)
