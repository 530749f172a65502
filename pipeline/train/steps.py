"""One rank's part of each global batch: lanes read, concepts hidden, lanes joined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from models.batch import Batch
from models.hiding import HiddenConcepts, hide
from models.implications import Implications
from pipeline.config.learning import Train
from pipeline.shards.batches import concatenate, epoch_batches, epoch_plan
from pipeline.shards.dataset import ShardSet
from pipeline.train.distribution import World

_DROPOUT = 1_000_003
"""Stands where a lane number stands in a seed, for what is drawn by rank."""


@dataclass(frozen=True, slots=True)
class Step:
    """A rank's rows of one step: what is left visible, and what was hidden."""

    number: int
    visible: Batch
    hidden: HiddenConcepts


def steps_per_epoch(shards: ShardSet, settings: Train, world: int) -> int:
    """From the manifest, so the same on every rank. Raises UserError where lanes, ranks and row groups do not fit."""
    plan = epoch_plan(shards, "support", batch_size=settings.batch_size, lanes=settings.lanes, world=world)
    return plan.steps


def steps_of_epoch(
    shards: ShardSet,
    settings: Train,
    world: World,
    epoch: int,
    start_step: int = 0,
    implications: Implications | None = None,
) -> Iterator[Step]:
    """The steps of an epoch from `start_step` on; what is hidden does not depend on the number of ranks."""
    batches = epoch_batches(
        shards,
        "support",
        seed=settings.seed,
        epoch=epoch,
        batch_size=settings.batch_size,
        lanes=settings.lanes,
        rank=world.rank,
        world=world.size,
        reader=settings.reader,
        start_step=start_step,
    )
    for number, lanes in enumerate(batches, start=start_step):
        seeds = [seed_of(settings.seed, epoch, number, lane.lane) for lane in lanes]
        hidden_lanes = [
            hide(lane.batch, settings.hide, torch.Generator().manual_seed(seed), implications)
            for lane, seed in zip(lanes, seeds, strict=True)
        ]
        yield Step(number, *_join(hidden_lanes))


def seed_of(*parts: int) -> int:
    """A 63-bit seed from numbers, without the patterns that sums or products of them would have."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_dropout(settings: Train, world: World, epoch: int, step: int) -> None:
    """Torch's own random numbers of a step, by rank: so a resumed run draws what the uninterrupted one would."""
    torch.manual_seed(seed_of(settings.seed, epoch, step, _DROPOUT + world.rank))


def _join(lanes: list[tuple[Batch, HiddenConcepts]]) -> tuple[Batch, HiddenConcepts]:
    first_rows = np.cumsum([0, *(batch.rows for batch, _ in lanes)]).tolist()
    hidden = HiddenConcepts(
        rows=torch.cat([hidden.rows + first for (_, hidden), first in zip(lanes, first_rows, strict=False)]),
        concept_ids=torch.cat([hidden.concept_ids for _, hidden in lanes]),
    )
    return concatenate([batch for batch, _ in lanes]), hidden
