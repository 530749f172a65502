"""The best AUC that anything can reach: that of the true probabilities, from histograms that add up over machines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.simulate.world import Floats

BINS = 512
_LOW, _HIGH = -16.0, 8.0
"""Logits outside fall into the outermost bins."""


def histogram(probabilities: Floats, labels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[2, segments, BINS]: negatives and positives by the logit of their probability."""
    clipped = np.clip(probabilities, 1e-9, 1 - 1e-9)
    logits = np.log(clipped / (1 - clipped))
    bins = np.clip((logits - _LOW) / (_HIGH - _LOW) * BINS, 0, BINS - 1).astype(np.int64)
    segments = probabilities.shape[1]
    cells = (labels * segments + np.arange(segments)) * BINS + bins
    return np.bincount(cells.ravel(), minlength=2 * segments * BINS).reshape(2, segments, BINS)


def oracle_auc(counts: NDArray[np.int64]) -> Floats:
    """[segments] from a histogram; those in the same bin count half. NaN where there is only one class."""
    negatives, positives = counts.astype(np.float64)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = negatives.sum(axis=1) * positives.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(pairs > 0, (positives * below).sum(axis=1) / np.where(pairs > 0, pairs, 1), np.nan))
