"""Small shard folders with known content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.shards.codec import FLOAT, INT, Rows
from pipeline.shards.dataset import ShardSet, open_folder
from pipeline.shards.writer import TaskSpec, write_shards

VOCABULARY = 24
SIZES = {"support": 103, "validation": 10, "query": 31}


def make_rows(rows: int, seed: int = 0) -> Rows:
    """Rows of 0 to 5 concepts; row r is labelled for task 0, and for task 1 where r is even."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 6, rows)
    ids = [np.sort(rng.choice(VOCABULARY, length, replace=False)) for length in lengths]
    pairs = np.where(np.arange(rows) % 2 == 0, 2, 1)
    task_ids = [np.arange(count) for count in pairs]
    return Rows(
        concept_ids=np.concatenate([*ids, np.empty(0)]).astype(INT),
        concept_weights=rng.random(lengths.sum()).astype(FLOAT),
        concept_offsets=np.concatenate([[0], np.cumsum(lengths)]),
        task_ids=np.concatenate([*task_ids, np.empty(0)]).astype(INT),
        labels=(rng.random(pairs.sum()) < 0.3).astype(FLOAT),
        pair_offsets=np.concatenate([[0], np.cumsum(pairs)]),
    )


@pytest.fixture
def shard_folder(tmp_path: Path) -> Path:
    return write_shards(
        tmp_path / "shards",
        [TaskSpec(name="a", mask=[1, 2]), TaskSpec(name="b", kind="multiclass", classes=["x", "y"])],
        [f"events.rule{concept % 3}={concept}" for concept in range(VOCABULARY)],
        {split: ([f"{split}{row}" for row in range(size)], make_rows(size)) for split, size in SIZES.items()},
        rows_per_group=8,
        rows_per_file=40,
    )


@pytest.fixture
def shards(shard_folder: Path) -> ShardSet:
    return open_folder(shard_folder)
