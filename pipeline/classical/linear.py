"""Logistic regression (multinomial for classes, ridge for numbers), its L2 strength chosen on validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression, Ridge

from pipeline.classical.losses import mean_loss
from pipeline.classical.views import NORM_OFFSET, Side, can_choose, row_scale, scale_rows

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""C of the L2 penalty, from strong to weak."""
DEFAULT = 0.01
"""Where validation cannot choose."""
_PATIENCE = 2
"""The path stops after so many strengths in a row that are worse on validation than the best."""
SETTINGS = {"strengths": STRENGTHS, "default": DEFAULT, "patience": _PATIENCE, "scaled": True, "version": 1}

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearModel:
    """logits = row_scale(features, offset) * features @ weights + biases.

    weights [V, outputs], biases [outputs]: one output for binary tasks and numbers (these in the label's units), one a
    class for classes; a class that the support does not hold has bias -inf. strength: the C that was chosen.
    """

    kind: str
    offset: float
    weights: Floats
    biases: Floats
    strength: float

    def scores(self, features: csr_matrix) -> Floats:
        """[n] probabilities or numbers; of classes [n, classes]."""
        return _scores(self.kind, scale_rows(features, row_scale(features, self.offset)), self.weights, self.biases)


def fit_linear(kind: str, classes: int, support: Side, validation: Side, offset: float = NORM_OFFSET) -> LinearModel:
    """The strength with the least validation loss; offset: of `row_scale`.

    Each fit starts from the one before it and converges: rare segments have small gradients, so that
    scikit-learn's own tolerance would stop it long before the optimum.
    """
    scales = [row_scale(side.features, offset) for side in (support, validation)]
    # In units of the typical row, so that the strengths mean the same for short and long rows.
    unit = max(float(scales[0].mean()), 1e-12)
    scaled, unseen = (
        scale_rows(side.features, scale / unit) for side, scale in zip((support, validation), scales, strict=True)
    )
    fit = _ridge(support.labels) if kind == "regression" else _logistic(classes if kind == "multiclass" else 1)
    best: tuple[float, tuple[Floats, Floats], float] | None = None
    worse = 0
    for strength in STRENGTHS if can_choose(kind, validation.labels) else (DEFAULT,):
        found = fit(scaled, support.labels, strength)
        loss = mean_loss(kind, validation.labels, _scores(kind, unseen, *found))
        if best is None or loss < best[0]:
            best, worse = (loss, found, strength), 0
        else:
            worse += 1
            if worse == _PATIENCE:
                break
    assert best is not None
    (weights, biases), strength = best[1], best[2]
    return LinearModel(kind=kind, offset=offset, weights=weights / unit, biases=biases, strength=strength)


def _scores(kind: str, scaled: csr_matrix, weights: Floats, biases: Floats) -> Floats:
    logits = scaled @ weights + biases
    if kind == "multiclass":
        return softmax(logits, axis=1)
    return expit(logits[:, 0]) if kind == "binary" else logits[:, 0]


Fit = Callable[[csr_matrix, NDArray[np.float32], float], tuple[Floats, Floats]]
"""(features, labels, strength) -> weights [V, outputs], biases [outputs]."""


def _logistic(outputs: int) -> Fit:
    model = LogisticRegression(tol=1e-6, max_iter=300, warm_start=True)

    def fit(features: csr_matrix, labels: NDArray[np.float32], strength: float) -> tuple[Floats, Floats]:
        classes, present = max(2, outputs), np.unique(labels).astype(int)
        weights, biases = np.zeros((features.shape[1], classes)), np.full(classes, -np.inf)
        biases[present[0]] = 0.0
        if len(present) > 1:
            model.set_params(C=strength)
            model.fit(features, labels)
            fitted = present if len(present) > 2 else present[1:]  # of two classes scikit-learn fits the second
            weights[:, fitted], biases[fitted] = model.coef_.T, model.intercept_
        if outputs > 1:
            return weights, biases
        return weights[:, 1:], biases[1:] - biases[:1]

    return fit


def _ridge(labels: NDArray[np.float32]) -> Fit:
    mean, scale = float(labels.mean()), float(labels.std()) or 1.0

    def fit(features: csr_matrix, labels: NDArray[np.float32], strength: float) -> tuple[Floats, Floats]:
        model: Any = Ridge(alpha=1 / strength, solver="sparse_cg", tol=1e-5)
        model.fit(features, (labels - mean) / scale)
        weights = np.asarray(model.coef_, dtype=np.float64).reshape(-1, 1)
        return weights * scale, np.array([float(model.intercept_) * scale + mean])

    return fit
