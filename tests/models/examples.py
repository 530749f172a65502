"""Small batches, masks and models for the tests of models/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from models.batch import Batch
from models.masks import TaskMasks
from models.metaaug import MetaAug
from models.task import Task

SMALL: dict[str, Any] = {"embedding_dim": 6, "expert_layers": 2, "expert_width": 5, "gate_hidden": 3, "tower_hidden": 4}


def make_batch(rows: Sequence[dict[int, float]], pairs: Sequence[tuple[int, int]] | None, tasks: int) -> Batch:
    """rows: {concept: weight} each; pairs: (row, task), None for all of them. Labels are 0, 1, 0, 1…"""
    if pairs is None:
        pairs = [(row, task) for row in range(len(rows)) for task in range(tasks)]
    pairs = sorted(pairs)
    return Batch(
        concept_ids=torch.tensor([c for row in rows for c in sorted(row)], dtype=torch.int64),
        concept_weights=torch.tensor([row[c] for row in rows for c in sorted(row)], dtype=torch.float32),
        row_offsets=torch.tensor([0] + [len(row) for row in rows], dtype=torch.int64).cumsum(0),
        pair_rows=torch.tensor([row for row, _ in pairs], dtype=torch.int64),
        pair_tasks=torch.tensor([task for _, task in pairs], dtype=torch.int64),
        labels=torch.tensor([i % 2 for i in range(len(pairs))], dtype=torch.float32),
    )


def make_model(masks: Sequence[Sequence[int]], vocabulary: int, outputs: Sequence[int] | None = None, **settings: Any):
    """A small MetaAug; outputs: of each task (1: binary, more: multiclass). Concept c is of field c modulo 3."""
    outputs = outputs or [1] * len(masks)
    tasks = [Task(name=f"task{i}", kind="binary" if n == 1 else "multiclass", outputs=n) for i, n in enumerate(outputs)]
    fields = torch.arange(vocabulary) % 3
    return MetaAug(tasks, TaskMasks(masks, vocabulary), fields, **{**SMALL, **settings})
