"""What linear models choose their settings by: the mean loss of a task on validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-15
"""Where probabilities are clipped."""


def mean_loss(kind: str, labels: NDArray[np.float32], scores: NDArray[np.float64]) -> float:
    """Log loss (binary, multiclass) or mean squared error (regression); infinite without rows."""
    if not len(labels):
        return float("inf")
    if kind == "binary":
        clipped = np.clip(scores.astype(np.float64), EPSILON, 1 - EPSILON)
        return float(-np.mean(np.where(labels > 0, np.log(clipped), np.log1p(-clipped))))
    if kind == "multiclass":
        truth = scores[np.arange(len(labels)), labels.astype(int)]
        return float(-np.log(np.clip(truth, EPSILON, 1)).mean())
    return float(np.mean((labels - scores) ** 2))
