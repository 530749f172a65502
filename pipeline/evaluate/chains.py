"""Chains of tasks on the query split: steps likelier than the one before, and how near the truth, where it is known.

For a link from `before` to `later`, P(later) is the later task's score and P(later | before) its quotient by the score
of the one before, at most 1. Of a model trained in local space (train.space) the score is P(later | before) itself, and
P(later) the product along the chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pipeline.evaluate.metrics import auc
from pipeline.evaluate.predict import TaskScores
from pipeline.evaluate.results import MODEL, ORACLE

Floats = NDArray[np.float64]
TOLERANCE = 1e-6
"""A later step counts as likelier than the one before from this much on: less is rounding."""
OF_LINK = ("auc", "violations", "excess")
OF_TRUTH = ("error", "conditional_auc", "conditional_error", "conditional_bias")
HEADINGS = {
    "auc": "AUC",
    "violations": "violations",
    "excess": "mean excess",
    "error": "error",
    "conditional_auc": "AUC given before",
    "conditional_error": "error given before",
    "conditional_bias": "bias given before",
}


def measure_chains(
    chains: Sequence[Sequence[str]],
    names: Sequence[str],
    scores: Mapping[str, Sequence[TaskScores]],
    local: bool,
) -> list[dict[str, Any]]:
    """For each link `{before, later, rows, of}`; `of`: who -> metrics, on the rows that have a label of both.

    auc of P(later) against its label; violations: share of rows with P(later) > P(before); excess: mean over rows of
    what P(later) is above it. With an oracle in `scores`, against the true probabilities: error, the mean absolute one
    of P(later); of P(later | before) over the entire space, whether the step before happened or not, its expected AUC,
    mean absolute error, and bias: its mean less the true mean.
    chains: of task names; those with a task that is not among `names` (left out as degenerate) are passed over.
    scores: who -> a TaskScores a task. local: the model was trained in local space.
    """
    place = {name: number for number, name in enumerate(names)}
    return [
        _link(before, later, chain, place, scores, local)
        for chain in chains
        if all(name in place for name in chain)
        for before, later in pairwise(chain)
    ]


def expected_auc(probabilities: Floats, scores: Floats) -> float:
    """The AUC against labels drawn with these probabilities, in expectation over the draws; no label is needed."""
    labels = np.repeat([1, 0], len(scores))
    weights = np.concatenate([probabilities, 1 - probabilities])
    return float(roc_auc_score(labels, np.tile(scores, 2), sample_weight=weights))


def _link(
    before: str,
    later: str,
    chain: Sequence[str],
    place: Mapping[str, int],
    scores: Mapping[str, Sequence[TaskScores]],
    local: bool,
) -> dict[str, Any]:
    upto = [place[name] for name in chain[: chain.index(later) + 1]]
    rows = _common_rows([scores[MODEL][task] for task in upto])
    labels = _at(scores[MODEL][upto[-1]], rows, "labels")
    truth = None
    if ORACLE in scores and all(np.isin(rows, scores[ORACLE][task].rows).all() for task in upto[-2:]):
        truth = [_at(scores[ORACLE][task], rows, "scores") for task in upto[-2:]]
    of = {}
    for who, of_tasks in scores.items():
        if who == ORACLE and truth is None:
            continue
        steps = [_at(of_tasks[task], rows, "scores") for task in upto]
        if who == MODEL and local:
            steps = list(np.cumprod(steps, axis=0))
        of[who] = _metrics(labels, steps[-2], steps[-1], truth)
    return {"before": before, "later": later, "rows": len(rows), "of": of}


def _metrics(labels: Floats, before: Floats, later: Floats, truth: Sequence[Floats] | None) -> dict[str, float]:
    if not len(labels):
        return {}
    above = later - before
    metrics = {
        "auc": auc(labels, later),
        "violations": float(np.mean(above > TOLERANCE)),
        "excess": float(np.mean(np.maximum(above, 0.0))),
    }
    if truth is not None:
        given, true_given = _quotient(later, before), _quotient(truth[1], truth[0])
        metrics |= {
            "error": float(np.mean(np.abs(later - truth[1]))),
            "conditional_auc": expected_auc(true_given, given),
            "conditional_error": float(np.mean(np.abs(given - true_given))),
            "conditional_bias": float(np.mean(given) - np.mean(true_given)),
        }
    return metrics


def _quotient(later: Floats, before: Floats) -> Floats:
    return np.asarray(np.minimum(1.0, later / np.maximum(before, 1e-12)))


def _common_rows(tasks: Sequence[TaskScores]) -> NDArray[np.int64]:
    rows = tasks[0].rows
    for task in tasks[1:]:
        rows = np.intersect1d(rows, task.rows, assume_unique=True)
    return rows


def _at(task: TaskScores, rows: NDArray[np.int64], what: str) -> Floats:
    """Of the task's pairs, which are in row order, those of these rows."""
    values = getattr(task, what)[np.searchsorted(task.rows, rows)]
    return np.asarray(values, dtype=np.float64)
