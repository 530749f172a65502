"""The model on a split held in memory: scores of every labelled pair, by task, and the gates it used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.batch import Batch
from models.task import Task
from pipeline.shards.batches import Matrix

_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class TaskScores:
    """One task's pairs of a split, in row order.

    rows [n] rows of the split's matrix; labels [n]; scores [n] probabilities (binary) or values (regression),
    [n, classes] probabilities (multiclass).
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.float32]
    scores: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predictions:
    """Of each task, in task order; gates [tasks, experts]: the mean share of each expert, None without gates."""

    tasks: list[TaskScores]
    gates: NDArray[np.float64] | None


@torch.inference_mode()
def predict(model: nn.Module, matrix: Matrix, tasks: Sequence[Task]) -> Predictions:
    """Score every pair of the matrix, on a GPU where there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).eval()
    logits: list[NDArray[np.float32]] = []
    gates: list[NDArray[np.float64]] = []
    gate_weights = getattr(model, "gate_weights", None)
    for batch in batches(matrix, _BATCH_ROWS):
        moved = batch.to(device)
        logits.append(model(moved).float().cpu().numpy())
        if gate_weights is not None:
            gates.append(gate_weights(moved).double().sum(0).cpu().numpy())
    outputs = max(task.outputs for task in tasks)
    every = np.concatenate(logits) if logits else np.zeros((0, outputs), np.float32)
    return Predictions(
        [_of_task(task_id, task, matrix, every) for task_id, task in enumerate(tasks)],
        np.sum(gates, axis=0).T / max(1, matrix.features.shape[0]) if gates else None,
    )


def batches(matrix: Matrix, rows: int) -> Iterator[Batch]:
    """The matrix and its pairs, so many rows at a time."""
    features = matrix.features
    total = features.shape[0]
    for start in range(0, total, rows):
        stop = min(start + rows, total)
        first, last = features.indptr[start], features.indptr[stop]
        pairs = slice(*np.searchsorted(matrix.pair_rows, [start, stop]))
        yield Batch(
            concept_ids=torch.from_numpy(features.indices[first:last].astype(np.int64)),
            concept_weights=torch.from_numpy(features.data[first:last].astype(np.float32)),
            row_offsets=torch.from_numpy((features.indptr[start : stop + 1] - first).astype(np.int64)),
            pair_rows=torch.from_numpy(matrix.pair_rows[pairs] - start),
            pair_tasks=torch.from_numpy(matrix.pair_tasks[pairs].astype(np.int64)),
            labels=torch.from_numpy(matrix.labels[pairs].astype(np.float32)),
        )


def _of_task(task_id: int, task: Task, matrix: Matrix, logits: NDArray[np.float32]) -> TaskScores:
    mine = np.flatnonzero(matrix.pair_tasks == task_id)
    own = torch.from_numpy(logits[mine, : task.outputs]).double()
    if task.kind == "multiclass":
        scores = own.softmax(dim=1)
    else:
        scores = own[:, 0].sigmoid() if task.kind == "binary" else own[:, 0]
    return TaskScores(matrix.pair_rows[mine], matrix.labels[mine], scores.numpy())
