"""A run folder that can be evaluated: shards with a planted signal of all three kinds of task, a model, the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from models.registry import build_model
from models.task import Task
from pipeline.modelfolder import Architecture, ModelSpec, write_model
from pipeline.modelfolder import TaskSpec as ModelTask
from pipeline.shards.codec import Rows
from pipeline.shards.dataset import open_folder
from pipeline.shards.writer import TaskSpec, write_shards

CONCEPTS = 40
LABEL_CONCEPT = 0
"""Concept 0 is the label of task `travel` itself, and masked for it."""
TASKS = (
    TaskSpec(name="travel", group="large", mask=[LABEL_CONCEPT]),
    TaskSpec(name="rare", group="niche"),
    TaskSpec(name="colour", kind="multiclass", classes=["red", "green", "blue"], group="large"),
    TaskSpec(name="spend", kind="regression", group="large"),
)
SIZES = {"support": 400, "validation": 150, "query": 200}
SETTINGS = {
    "embedding_dim": 8,
    "experts": 2,
    "expert_layers": 1,
    "expert_width": 8,
    "gate_hidden": 0,
    "tower_hidden": 0,
}


SMALL_APEM = {"embedding_dim": 4, "layers": 2, "points": 5, "selector_hidden": 6, "tower_widths": [4]}


def write_world(
    workdir: Path,
    tasks: tuple[TaskSpec, ...] = TASKS,
    architecture: str = "metaaug",
    settings: dict[str, Any] = SETTINGS,
) -> Path:
    """Shards, model, log and truth under workdir; returns the shard folder."""
    splits, truth = {}, []
    for seed, (split, count) in enumerate(SIZES.items()):
        ids = [f"{split}-{row}" for row in range(count)]
        rows, probabilities = _rows(count, tasks, seed)
        splits[split] = (ids, rows)
        truth += list(zip(ids, probabilities.tolist(), strict=True))
    concepts = [f"events.{'item' if n % 2 else 'word'}={n}" for n in range(CONCEPTS)]
    folder = write_shards(workdir / "shards", tasks, concepts, splits, rows_per_group=64, rows_per_file=256)
    write_untrained_model(workdir, folder, architecture=architecture, settings=settings)
    _write_truth(workdir / "events", truth)
    epochs = [
        {"kind": "epoch", "step": 10 * (e + 1), "epoch": e, "best_epoch": 1, "train_loss": 1.0, "validation": v}
        for e, v in enumerate([{"mean": 0.6, "groups": {"niche": 0.5}}, {"mean": 0.7, "groups": {"niche": 0.6}}])
    ]
    lines = [{"kind": "step", "step": step, "epoch": step // 10, "loss": 1 / (1 + step)} for step in range(20)]
    (workdir / "train_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, *epochs]))
    return folder


def write_untrained_model(
    workdir: Path,
    folder: Path,
    seed: int = 0,
    vocabulary_hash: str | None = None,
    architecture: str = "metaaug",
    settings: dict[str, Any] = SETTINGS,
) -> None:
    shards = open_folder(folder)
    torch.manual_seed(seed)
    tasks = [Task(name=task.name, kind=task.kind, outputs=task.outputs) for task in shards.tasks]
    model = build_model(architecture, tasks, shards.masks(), shards.fields(), settings)
    spec = ModelSpec(
        architecture=Architecture(name=architecture, settings=settings),
        vocabulary_hash=vocabulary_hash or shards.vocabulary_hash,
        vocabulary_size=shards.vocabulary_size,
        tasks=[
            ModelTask(name=task.name, kind=task.kind, outputs=own.outputs, classes=task.classes, group=task.group)
            for task, own in zip(shards.manifest.tasks, tasks, strict=True)
        ],
        thresholds={task.name: 0.4 for task in tasks if task.kind == "binary"},
    )
    write_model(workdir / "model", model, spec)


def _rows(count: int, tasks: tuple[TaskSpec, ...], seed: int) -> tuple[Rows, np.ndarray]:
    """Rows whose labels follow from concepts 1..10, and the true probabilities of the binary tasks."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=count)
    probabilities = 1 / (1 + np.exp(-np.stack([2 * taste, 2 * taste - 2.5], axis=1)))
    labels = {
        "travel": rng.random(count) < probabilities[:, 0],
        "rare": rng.random(count) < probabilities[:, 1],
        "colour": np.digitize(taste + 0.3 * rng.normal(size=count), [-0.5, 0.5]),
        "spend": 10 + 3 * taste + rng.normal(size=count),
    }
    ids, weights, pairs, values = [], [], [], []
    for row in range(count):
        likes = 1 + np.flatnonzero(rng.random(10) < 1 / (1 + np.exp(-2 * taste[row] * np.linspace(-1, 1, 10))))
        other = rng.choice(np.arange(11, CONCEPTS), 4, replace=False)
        own = [LABEL_CONCEPT] if labels["travel"][row] else []
        ids.append(np.sort(np.concatenate([own, likes, other])))
        weights.append(rng.uniform(0.7, 1.4, len(ids[-1])))
        # `rare` is asked of three rows in four.
        pairs.append([t for t in range(len(tasks)) if tasks[t].name != "rare" or row % 4])
        values.append([float(labels[tasks[t].name][row]) for t in pairs[-1]])
    rows = Rows(
        concept_ids=np.concatenate(ids).astype(np.int32),
        concept_weights=np.concatenate(weights).astype(np.float32),
        concept_offsets=np.cumsum([0, *map(len, ids)]),
        task_ids=np.concatenate(pairs).astype(np.int32),
        labels=np.concatenate(values).astype(np.float32),
        pair_offsets=np.cumsum([0, *map(len, pairs)]),
    )
    return rows, probabilities


def _write_truth(events: Path, truth: list[tuple[str, list[float]]]) -> None:
    (events / "truth").mkdir(parents=True)
    table = pa.table(
        {
            "entity_id": pa.array([entity for entity, _ in truth]),
            "probabilities": pa.array([values for _, values in truth], pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, events / "truth" / "part-0.parquet")
    names = {"segments": [{"name": "travel"}, {"name": "rare"}]}
    (events / "oracle.json").write_text(json.dumps(names), encoding="utf-8")
