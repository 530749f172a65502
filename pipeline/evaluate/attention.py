"""Task attention (MetaCon's RQ4): how much task i relies on what task j masks.

    attention[i, j] = mean over the rows of task i of  log p_i(truth | row) - log p_i(truth | row without CMask(j))

Both under task i's own mask, as always. Only rows that hold a concept of CMask(j) can differ, so only these are
computed again, each distinct mask once whatever the number of tasks that share it, the views of many masks in one pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import nn

from models.batch import Batch
from models.masks import TaskMasks
from models.task import Task
from pipeline.shards.batches import Matrix

MAX_ROWS = 2048
"""So many rows are looked at: enough for a mean, and what is drawn costs no more than the evaluation itself."""
_ROWS_A_PASS = 4096
Array = NDArray[np.float64]


@torch.inference_mode()
def task_attention(model: nn.Module, matrix: Matrix, tasks: Sequence[Task], masks: TaskMasks) -> Array:
    """[tasks, tasks]: row i, column j as above, in nats. 0 where CMask(j) is empty; NaN for tasks of no pairs and for
    regression, which has no likelihood here."""
    model = model.cpu().eval()
    rows = min(MAX_ROWS, matrix.features.shape[0])
    features, labels = matrix.features[:rows], _labels(matrix, rows, len(tasks))
    plain = _likelihoods(model, features, labels, tasks)
    drops = np.zeros((len(tasks), masks.masks))
    for views, view_rows, view_masks in _passes(features, masks):
        masked = _likelihoods(model, views, labels[view_rows], tasks)
        lost = np.nan_to_num(plain[view_rows] - masked)  # [views, tasks]; a task of which a row has no label loses none
        np.add.at(drops.T, view_masks, lost)
    counts = (~np.isnan(plain)).sum(axis=0)
    means = np.full_like(drops, np.nan)
    np.divide(drops, counts[:, None], out=means, where=counts[:, None] > 0)
    return means[:, masks.task_mask.numpy()]


def _passes(features: csr_matrix, masks: TaskMasks) -> Iterator[tuple[csr_matrix, NDArray, NDArray]]:
    """Rows without the concepts of a mask they hold, with their row and mask, many masks at a time."""
    offsets, concepts = masks.mask_offsets.numpy(), masks.mask_concepts.numpy()
    parts: list[csr_matrix] = []
    rows: list[NDArray] = []
    of_masks: list[NDArray] = []
    for mask in range(masks.masks):
        inside = np.zeros(features.shape[1], dtype=bool)
        masked = concepts[offsets[mask] : offsets[mask + 1]]
        inside[masked[masked < len(inside)]] = True  # others are newer than the model, and in no row
        hit = np.unique(_row_of_entry(features)[inside[features.indices]])
        if len(hit) == 0:
            continue
        parts.append(_without(features[hit], inside))
        rows.append(hit)
        of_masks.append(np.full(len(hit), mask))
        if sum(map(len, rows)) >= _ROWS_A_PASS:
            yield _stacked(parts), np.concatenate(rows), np.concatenate(of_masks)
            parts, rows, of_masks = [], [], []
    if rows:
        yield _stacked(parts), np.concatenate(rows), np.concatenate(of_masks)


def _without(rows: csr_matrix, concepts: NDArray[np.bool_]) -> csr_matrix:
    """The rows without the entries of these concepts, which are taken out, not set to zero."""
    kept = ~concepts[rows.indices]
    lengths = np.bincount(_row_of_entry(rows)[kept], minlength=rows.shape[0])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return csr_matrix((rows.data[kept], rows.indices[kept], offsets), shape=rows.shape)


def _stacked(parts: Sequence[csr_matrix]) -> csr_matrix:
    data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return csr_matrix((data, indices, offsets), shape=(len(lengths), parts[0].shape[1]))


def _likelihoods(model: nn.Module, features: csr_matrix, labels: Array, tasks: Sequence[Task]) -> Array:
    """[rows, tasks]: the log-likelihood of each known label; NaN where it is not known."""
    rows = [
        _of_logits(model(_batch(features[start : start + _ROWS_A_PASS], len(tasks))), tasks)
        for start in range(0, features.shape[0], _ROWS_A_PASS)
    ]
    logits = torch.cat(rows)
    known = ~np.isnan(labels) & np.array([task.kind != "regression" for task in tasks])
    classes = torch.from_numpy(np.where(known, labels, 0).astype(np.int64))
    found = logits.gather(2, classes.unsqueeze(2)).squeeze(2).numpy()
    return np.where(known, found, np.nan)


def _of_logits(logits: torch.Tensor, tasks: Sequence[Task]) -> torch.Tensor:
    """[rows * tasks, outputs] logits -> [rows, tasks, classes] log-probabilities."""
    own = logits.double().view(-1, len(tasks), logits.shape[1])
    classes = max(2, own.shape[2])
    table = own.new_full((own.shape[0], len(tasks), classes), float("-inf"))
    for number, task in enumerate(tasks):
        if task.kind == "multiclass":
            table[:, number, : task.outputs] = own[:, number, : task.outputs].log_softmax(1)
        elif task.kind == "binary":
            logit = own[:, number, 0]
            table[:, number, :2] = torch.nn.functional.logsigmoid(torch.stack([-logit, logit], dim=1))
    return table


def _batch(features: csr_matrix, tasks: int) -> Batch:
    none = torch.zeros(0, dtype=torch.int64)
    return Batch(
        concept_ids=torch.from_numpy(features.indices.astype(np.int64)),
        concept_weights=torch.from_numpy(features.data.astype(np.float32)),
        row_offsets=torch.from_numpy(features.indptr.astype(np.int64)),
        pair_rows=none,
        pair_tasks=none,
        labels=torch.zeros(0),
    ).with_all_tasks(tasks)


def _labels(matrix: Matrix, rows: int, tasks: int) -> Array:
    """[rows, tasks] labels, NaN where a row is not in a task's sample space."""
    table = np.full((rows, tasks), np.nan)
    inside = matrix.pair_rows < rows
    table[matrix.pair_rows[inside], matrix.pair_tasks[inside]] = matrix.labels[inside]
    return table


def _row_of_entry(features: csr_matrix) -> NDArray[np.int64]:
    return np.repeat(np.arange(features.shape[0]), np.diff(features.indptr))
