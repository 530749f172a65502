"""The reading order of an epoch: a pure function of (manifest, seed, epoch), cut into lanes.

Files are permuted, row groups stand in file order, rows are permuted within a group. This sequence of N rows is cut
into L lanes of equal length (to one row); lane l yields batch_size / L rows a step and rank r of W reads the lanes
l ≡ r (mod W). So global batches do not depend on W, and no rank ever waits for another's last step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UserError
from pipeline.shards.manifest import SplitEntry


@dataclass(frozen=True, slots=True)
class GroupRun:
    """The rows at places start..stop-1 of a row group's permutation."""

    file: int
    group: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class LanePlan:
    """How N rows are read: `steps` steps of `rows_per_step` rows a lane, the last one taking what is left."""

    rows: int
    lanes: int
    rows_per_step: int

    @property
    def steps(self) -> int:
        """The same for every lane: the shortest lane's. A lane one row longer has it in its last step."""
        if self.rows == 0:
            return 0
        return max(1, -(-(self.rows // self.lanes) // self.rows_per_step))

    def lane_bounds(self, lane: int) -> tuple[int, int]:
        """Where a lane starts and stops in the sequence; the first N mod L lanes have one row more."""
        length, longer = divmod(self.rows, self.lanes)
        start = lane * length + min(lane, longer)
        return start, start + length + (lane < longer)

    def step_bounds(self, lane: int, step: int) -> tuple[int, int]:
        """Where a step of a lane starts and stops in the sequence (the same place when the lane has no row)."""
        start, stop = self.lane_bounds(lane)
        first = start + step * self.rows_per_step
        last = stop if step == self.steps - 1 else first + self.rows_per_step
        return min(first, stop), min(last, stop)


def lane_plan(split: SplitEntry, *, batch_size: int, lanes: int, world: int) -> LanePlan:
    """Check a reading plan. Raises UserError when it cannot give every rank the same steps."""
    if lanes % world:
        raise UserError(f"train.lanes is {lanes}, which {world} ranks do not divide; set it to a multiple of {world}")
    if batch_size % lanes:
        raise UserError(f"train.batch_size is {batch_size}, which train.lanes = {lanes} does not divide")
    if split.row_groups < world:
        raise UserError(
            f"{split.row_groups} row groups for {world} ranks: use fewer ranks, or run the align stage again with "
            "smaller align.shards.rows_per_group"
        )
    return LanePlan(split.rows, lanes, batch_size // lanes)


def lanes_of_rank(lanes: int, rank: int, world: int) -> list[int]:
    return list(range(rank, lanes, world))


def file_order(split: SplitEntry, seed: int, epoch: int) -> list[int]:
    """The files of a split in the order in which an epoch reads them."""
    return [int(file) for file in np.random.default_rng([seed, epoch]).permutation(len(split.files))]


def row_order(rows: int, seed: int, epoch: int, file: int, group: int) -> np.ndarray:
    """[rows] int64: the permutation of a row group's rows in an epoch."""
    return np.random.default_rng([seed, epoch, file, group]).permutation(rows)


def runs_between(split: SplitEntry, order: list[int], start: int, stop: int) -> Iterator[GroupRun]:
    """The pieces of row groups that make up the places start..stop-1 of the sequence with this file order."""
    place = 0
    for file in order:
        rows = split.files[file].rows
        if place + rows <= start:
            place += rows
            continue
        for group, group_rows in enumerate(split.files[file].row_groups):
            first, last = max(start - place, 0), min(stop - place, group_rows)
            if first < last:
                yield GroupRun(file, group, first, last)
            place += group_rows
        if place >= stop:
            return
