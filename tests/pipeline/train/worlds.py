"""Small shards with a planted signal, and configurations that train on them in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.config import Config, load_config
from pipeline.shards.codec import Rows
from pipeline.shards.dataset import ShardSet
from pipeline.shards.writer import TaskSpec, write_shards
from pipeline.train.space import TrainingSpace
from pipeline.train.start import LabelStatistics, label_statistics

CONCEPTS = 60
BINARY = (TaskSpec(name="large", group="large", mask=[0, 1]), TaskSpec(name="rare", group="niche", mask=[2]))
MIXED = (
    *BINARY,
    TaskSpec(name="colour", kind="multiclass", classes=["red", "green", "blue"], group="large", mask=[3]),
    TaskSpec(name="spend", kind="regression", group="large"),
)
SMALL_MODEL = (
    "model.settings={embedding_dim: 8, experts: 2, expert_layers: 2, expert_width: 8, gate_hidden: 0, tower_hidden: 4}"
)


def write_world(
    workdir: Path,
    tasks: tuple[TaskSpec, ...] = BINARY,
    rows: dict[str, int] | None = None,
    rows_per_group: int = 32,
    spoil: str | None = None,
) -> Path:
    """Shards under workdir/shards whose labels follow from concepts 10..19; returns the folder.

    spoil: a task one of whose labels in the support is made NaN.
    """
    concepts = [f"source.{'item' if i % 2 else 'word'}={i}" for i in range(CONCEPTS)]
    splits = {}
    for place, (split, count) in enumerate((rows or {"support": 256, "validation": 96, "query": 32}).items()):
        made = _rows(count, tasks, seed=place)
        if spoil and split == "support":
            wanted = [task.name for task in tasks].index(spoil)
            labels = made.labels.copy()
            labels[np.flatnonzero(made.task_ids == wanted)[count // 2]] = np.nan
            made = Rows(**{name: getattr(made, name) for name in Rows.__dataclass_fields__} | {"labels": labels})
        splits[split] = ([f"{split}-{i}" for i in range(count)], made)
    return write_shards(workdir / "shards", tasks, concepts, splits, rows_per_group=rows_per_group, rows_per_file=128)


def _rows(count: int, tasks: tuple[TaskSpec, ...], seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=count)
    ids, weights, labels, task_ids = ([np.empty(0)] for _ in range(4))
    for row in range(count):
        likes = rng.random(10) < 1 / (1 + np.exp(-2 * taste[row] * np.linspace(-1, 1, 10)))
        noise = rng.choice(np.r_[0:10, 20:CONCEPTS], size=rng.integers(2, 9), replace=False)
        mine = np.sort(np.concatenate([10 + np.flatnonzero(likes), noise]))
        ids.append(mine)
        weights.append(rng.uniform(0.5, 2, len(mine)))
        in_space = [task for task in range(len(tasks)) if rng.random() < 0.8] or [0]
        task_ids.append(in_space)
        labels.append([_label(tasks[task], taste[row], rng) for task in in_space])
    return Rows(
        concept_ids=np.concatenate(ids).astype(np.int32),
        concept_weights=np.concatenate(weights).astype(np.float32),
        concept_offsets=np.cumsum([*map(len, ids)]),
        task_ids=np.concatenate(task_ids).astype(np.int32),
        labels=np.concatenate(labels).astype(np.float32),
        pair_offsets=np.cumsum([*map(len, task_ids)]),
    )


def _label(task: TaskSpec, taste: float, rng: np.random.Generator) -> float:
    noisy = taste + 0.3 * rng.normal()
    if task.kind == "multiclass":
        return float(np.digitize(noisy, [-0.5, 0.5]))
    if task.kind == "regression":
        return 1000 + 250 * noisy
    return float(noisy > (1.0 if task.group == "niche" else 0.0))


def config_for(workdir: Path, *overrides: str) -> Config:
    """A small model, 2 epochs of 8 steps; no dropout, no hiding unless told otherwise."""
    defaults = (
        f"run.workdir={workdir}",
        SMALL_MODEL,
        "train.epochs=2",
        "train.batch_size=32",
        "train.lanes=4",
        "train.learning_rate=0.02",
        "train.weight_decay=0.05",
        "train.auxiliary.tasks=40",
        "train.embedding_start=random",
        "train.threads=1",
    )
    return load_config([], [*defaults, *overrides])


def statistics_of(config: Config, shards: ShardSet) -> LabelStatistics:
    return label_statistics(shards, TrainingSpace(config, shards).pairs)
