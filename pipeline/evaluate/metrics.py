"""How well scores meet labels: the five metrics of the paper's Table 1, and those of the other kinds of task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

Floats = NDArray[np.floating]
EPSILON = 1e-15
"""Where probabilities are clipped; -ln(1e-15) = 34.54, the constant of the paper's log loss."""


def binary_metrics(labels: Floats, scores: Floats, threshold: float) -> dict[str, float]:
    """The metrics of MetaCon's Table 1 for one segment, and its calibration error.

    labels [rows] 0 or 1; scores [rows] probabilities; decisions are score >= threshold.
    `log_loss` is the real one, on probabilities. `log_loss_on_decisions` is what Table 1 prints: its figures are
    34.54 x (1 - accuracy), the log loss of 0/1 decisions clipped at 1e-15. AUC is NaN where one class is missing.
    """
    if not len(labels):
        return dict.fromkeys(BINARY, float("nan"))
    decisions = scores >= threshold
    accuracy = float(np.mean(decisions == (labels > 0)))
    hits = float(np.sum(labels[decisions]))
    selected, positives, rows = float(decisions.sum()), float(labels.sum()), len(labels)
    chance = (selected * positives + (rows - selected) * (rows - positives)) / rows**2
    return {
        "accuracy": accuracy,
        "auc": auc(labels, scores),
        "f1": 2 * hits / (selected + positives) if selected + positives else 0.0,
        "kappa": (accuracy - chance) / (1 - chance) if chance < 1 else 0.0,
        "log_loss": log_loss(labels, scores),
        "log_loss_on_decisions": -np.log(EPSILON) * (1 - accuracy),
        "ece": expected_calibration_error(labels, scores),
        "average_precision": average_precision(labels, scores),
    }


BINARY = ("accuracy", "auc", "f1", "kappa", "log_loss", "log_loss_on_decisions", "ece", "average_precision")


def auc(labels: Floats, scores: Floats) -> float:
    """Area under the ROC curve; NaN where one class is missing."""
    if len(labels) == 0 or labels.min() == labels.max():
        return float("nan")
    return float(sk.roc_auc_score(labels, scores))


def average_precision(labels: Floats, scores: Floats) -> float:
    """Area under the precision-recall steps; NaN without positives."""
    return float(sk.average_precision_score(labels, scores)) if labels.sum() > 0 else float("nan")


def log_loss(labels: Floats, scores: Floats) -> float:
    """Mean negative log likelihood of 0/1 labels under probabilities clipped at 1e-15."""
    clipped = np.clip(scores.astype(np.float64), EPSILON, 1 - EPSILON)
    return float(-np.mean(np.where(labels > 0, np.log(clipped), np.log1p(-clipped))))


def multiclass_metrics(classes: NDArray[np.integer], probabilities: Floats) -> dict[str, float]:
    """classes [rows] class index; probabilities [rows, classes]: accuracy, log loss, macro one-vs-rest AUC."""
    rows = np.arange(len(classes))
    of_truth = np.clip(probabilities[rows, classes].astype(np.float64), EPSILON, 1)
    each = [auc((classes == k).astype(np.float64), probabilities[:, k]) for k in range(probabilities.shape[1])]
    return {
        "accuracy": float(np.mean(probabilities.argmax(axis=1) == classes)),
        "auc": mean(each),
        "log_loss": float(-np.log(of_truth).mean()),
    }


def regression_metrics(targets: Floats, predictions: Floats) -> dict[str, float]:
    """Mean absolute error, root mean squared error and share of variance explained."""
    return {
        "mae": float(sk.mean_absolute_error(targets, predictions)),
        "rmse": float(sk.root_mean_squared_error(targets, predictions)),
        "r2": float(sk.r2_score(targets, predictions)) if len(targets) > 1 else float("nan"),
    }


def reliability_bins(labels: Floats, scores: Floats, bins: int = 10) -> dict[str, NDArray[np.float64]]:
    """Mean score, share of positives and rows in bins of equal numbers of rows; each array [at most bins].

    Equal numbers, not equal widths: with rare segments nearly all scores would fall into the lowest width.
    Equal scores are never parted.
    """
    order = np.argsort(scores, kind="stable")
    ranked, truth = scores[order].astype(np.float64), labels[order].astype(np.float64)
    edges = np.unique(np.searchsorted(ranked, ranked[np.linspace(0, len(ranked) - 1, bins + 1).astype(int)[1:-1]]))
    starts = np.unique(np.concatenate([[0], edges]))
    rows = np.diff(np.append(starts, len(ranked))).astype(np.float64)
    return {
        "score": np.add.reduceat(ranked, starts) / rows,
        "positives": np.add.reduceat(truth, starts) / rows,
        "rows": rows,
    }


def expected_calibration_error(labels: Floats, scores: Floats, bins: int = 10) -> float:
    """Mean |share of positives - mean score| over equal-count bins, weighted by rows (Naeini et al. 2015)."""
    found = reliability_bins(labels, scores, bins)
    return float(np.average(np.abs(found["positives"] - found["score"]), weights=found["rows"]))


def mean(values: Iterable[float]) -> float:
    """The mean of the values that are not NaN; NaN where there are none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def mean_of(rows: Iterable[Mapping[str, float]], names: Iterable[str]) -> dict[str, float]:
    """The mean of each named metric over rows, NaN left out (paper: mean over the tasks)."""
    kept = list(rows)
    return {name: mean(row[name] for row in kept if name in row) for name in names}
