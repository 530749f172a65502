"""What a model of one task sees of its rows: the same vectors as the model of all, under the same mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pipeline.shards.batches import Matrix

NORM_OFFSET = 20.0
FEWEST_TO_CHOOSE = 5
"""Rows of each class that validation must hold for it to choose a setting."""


@dataclass(frozen=True, slots=True)
class Side:
    """The rows of one split in a task's sample space: features [n, V], labels [n], rows [n] in the split."""

    features: csr_matrix
    labels: NDArray[np.float32]
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class View:
    """One task's three splits; `masked` are the concepts that its columns were emptied of."""

    kind: str
    classes: int
    masked: NDArray[np.int64]
    support: Side
    validation: Side
    query: Side

    @property
    def sides(self) -> tuple[Side, Side, Side]:
        return self.support, self.validation, self.query

    @property
    def can_choose(self) -> bool:
        return can_choose(self.kind, self.validation.labels)


def can_choose(kind: str, labels: NDArray[np.float32]) -> bool:
    """Whether a validation with these labels can tell good settings from bad ones: enough rows of two classes."""
    if kind == "regression":
        return len(labels) >= FEWEST_TO_CHOOSE
    counts = np.bincount(labels.astype(int), minlength=2)
    return bool(np.sort(counts)[-2] >= FEWEST_TO_CHOOSE)


def side_of(matrix: Matrix, task_id: int, masked: NDArray[np.int64]) -> Side:
    """A task's rows of a split, the masked columns emptied: as if these concepts had never been seen."""
    rows, labels = matrix.of_task(task_id)
    features = matrix.features if len(rows) == matrix.features.shape[0] else matrix.features[rows]
    return Side(without(features, masked), labels, rows)


def without(features: csr_matrix, masked: NDArray[np.int64]) -> csr_matrix:
    """The same matrix with these columns 0."""
    if not len(masked):
        return features
    visible = np.ones(features.shape[1], dtype=features.dtype)
    visible[masked] = 0
    data = features.data * visible[features.indices]
    return csr_matrix((data, features.indices, features.indptr), shape=features.shape)


def row_scale(features: csr_matrix, offset: float = NORM_OFFSET) -> NDArray[np.float32]:
    """[n] 1 / sqrt(offset + sum of the visible weights): how models scale their input, without which long rows rule.

    Taken after masking, as the model's: a norm of the whole row would tell of what is hidden.
    """
    return (1 / np.sqrt(offset + np.asarray(features.sum(axis=1)).ravel())).astype(np.float32)


def scale_rows(features: csr_matrix, scale: NDArray[np.float32]) -> csr_matrix:
    data = features.data * np.repeat(scale, np.diff(features.indptr))
    return csr_matrix((data, features.indices, features.indptr), shape=features.shape)
