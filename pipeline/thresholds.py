"""Decision thresholds: the score from which on an entity is in a segment, chosen on validation."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Objective = Literal["f1", "accuracy", "kappa", "prevalence", "half"]


def choose_threshold(
    labels: NDArray[np.floating], scores: NDArray[np.floating], objective: Objective, default: float = 0.5
) -> float:
    """The threshold t for decisions `score >= t` that is best for the objective on these rows.

    labels, scores [rows]. prevalence: as many rows are selected as there are positives. half: 0.5 whatever the rows,
    the most accurate decision for calibrated scores, without the noise of a choice. Else every cut between two
    different scores is tried, so the answer is exact; a cut lies half-way between its neighbours.
    Returns `default` where the labels are all of one class, for then no cut is better than another.
    """
    if objective == "half":
        return 0.5
    positives = float(labels.sum())
    rows = len(labels)
    if positives == 0 or positives == rows:
        return default
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    hits = np.cumsum(labels[order], dtype=np.float64)
    selected = np.arange(1, rows + 1, dtype=np.float64)
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    value = _value(objective, hits, selected, positives, rows)
    best = int(np.argmax(np.where(last_of_tie, value, -np.inf)))
    below = ranked[best + 1] if best + 1 < rows else ranked[best]
    middle = (ranked[best] + below) / 2
    return float(middle if middle > below else ranked[best])


def _value(
    objective: Objective, hits: NDArray[np.float64], selected: NDArray[np.float64], positives: float, rows: int
) -> NDArray[np.float64]:
    """What each cut is worth: hits and selected [rows] count the rows above it."""
    if objective == "f1":
        return 2 * hits / (selected + positives)
    right = hits + (rows - selected) - (positives - hits)
    if objective == "accuracy":
        return right / rows
    if objective == "kappa":
        agreement = right / rows
        chance = (selected * positives + (rows - selected) * (rows - positives)) / rows**2
        return (agreement - chance) / np.maximum(1 - chance, 1e-12)
    return -np.abs(selected - positives)
