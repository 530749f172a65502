"""What logistic regression and trees say of rows that they were not fitted to, blended as explains the labels best.

Soft targets (Hinton et al. 2015) tell a network more of a row than its label does: how likely the label was. Said of
rows that a teacher was fitted to they would be the label again, so each row's teachers are fitted to the other folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit, logit
from sklearn.model_selection import StratifiedKFold

from pipeline.classical.linear import fit_linear
from pipeline.classical.losses import mean_loss
from pipeline.classical.trees import FEW_CONCEPTS, PARAMETERS
from pipeline.classical.views import Side, can_choose

Floats = NDArray[np.float64]

LEAVES = (5, 8, 16)
"""Of the trees of each ensemble; the logits of all are averaged."""
RATE, ROUNDS, PATIENCE, DEFAULT_ROUNDS = 0.05, 1500, 50, 200
"""Slower than the baseline's: a teacher is to be as good as can be."""
_SHARES = tuple(share / 10 for share in range(11))
_CLIP = 1e-6
SETTINGS = {"leaves": list(LEAVES), "rate": RATE, "rounds": ROUNDS, "patience": PATIENCE, "version": 1}


@dataclass(frozen=True, slots=True)
class Said:
    """What the two teachers say [rows of a fold]: logits."""

    linear: Floats
    trees: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """probabilities [rows]: what is said of each row of a task; share: of the linear teacher in it, by logits; losses:
    the mean log loss of each teacher and of both on rows they were not fitted to."""

    probabilities: Floats
    share: float
    losses: dict[str, float]


def folds_of(labels: NDArray[np.float32], folds: int) -> list[NDArray[np.int64]]:
    """The places of each fold's rows, with equal shares of positives; none where one class has too few rows."""
    counts = np.bincount(labels.astype(int), minlength=2)
    if len(counts) > 2 or counts.min() < folds:
        return []
    splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    return [held for _, held in splitter.split(labels, labels.astype(int))]


def hear(support: Side, validation: Side, held: NDArray[np.int64]) -> Said:
    """What teachers fitted to the support less `held` say of `held`; their settings are chosen on validation."""
    others = np.ones(len(support.labels), dtype=bool)
    others[held] = False
    fitted = Side(support.features[others], support.labels[others], support.rows[others])
    unseen = support.features[held]
    linear = fit_linear("binary", 1, fitted, validation)
    return Said(logit(np.clip(linear.scores(unseen), _CLIP, 1 - _CLIP)), _tree_logits(fitted, validation, unseen))


def blend(labels: NDArray[np.float32], said: list[Said], folds: list[NDArray[np.int64]]) -> Lesson:
    """Both teachers by the share of the linear one that has the least log loss over all folds."""
    linear, trees = np.empty(len(labels)), np.empty(len(labels))
    for one, held in zip(said, folds, strict=True):
        linear[held], trees[held] = one.linear, one.trees
    losses = {s: mean_loss("binary", labels, expit(s * linear + (1 - s) * trees)) for s in _SHARES}
    share = min(losses, key=lambda s: losses[s])
    return Lesson(
        probabilities=expit(share * linear + (1 - share) * trees),
        share=share,
        losses={"logistic_regression": losses[1.0], "lightgbm": losses[0.0], "blend": losses[share]},
    )


def _tree_logits(fitted: Side, validation: Side, unseen: csr_matrix) -> Floats:
    parameters = PARAMETERS | {"objective": "binary", "learning_rate": RATE}
    if unseen.shape[1] < FEW_CONCEPTS:
        parameters["feature_fraction"] = 0.5
    rows = lgb.Dataset(fitted.features, fitted.labels, params=parameters, free_raw_data=False)
    chooses = can_choose("binary", validation.labels)
    judges = [rows.create_valid(validation.features, validation.labels)] if chooses else None
    total = np.zeros(unseen.shape[0])
    for leaves in LEAVES:
        booster = lgb.train(
            parameters | {"num_leaves": leaves, "seed": leaves},
            rows,
            ROUNDS if chooses else DEFAULT_ROUNDS,
            valid_sets=judges,
            callbacks=[lgb.early_stopping(PATIENCE, verbose=False)] if chooses else [],
        )
        total += booster.predict(unseen, raw_score=True, num_threads=1)
    return total / len(LEAVES)
