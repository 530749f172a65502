"""What baselines choose their settings by: the mean loss of a task on validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.metrics import EPSILON, log_loss


def mean_loss(kind: str, labels: NDArray[np.float32], scores: NDArray[np.float64]) -> float:
    """Log loss (binary, multiclass) or mean squared error (regression); infinite without rows."""
    if not len(labels):
        return float("inf")
    if kind == "binary":
        return log_loss(labels, scores)
    if kind == "multiclass":
        truth = scores[np.arange(len(labels)), labels.astype(int)]
        return float(-np.log(np.clip(truth, EPSILON, 1)).mean())
    return float(np.mean((labels - scores) ** 2))
