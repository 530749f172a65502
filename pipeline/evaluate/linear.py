"""Baseline: logistic regression (multinomial for classes, ridge for numbers), L2 strength chosen on validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge

from pipeline.evaluate.losses import mean_loss
from pipeline.evaluate.views import View, row_scale, scale_rows

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""C of the L2 penalty, from strong to weak."""
DEFAULT = 0.01
"""Where validation cannot choose."""
_PATIENCE = 2
"""The path stops after so many strengths in a row that are worse on validation than the best."""
SETTINGS = {"strengths": STRENGTHS, "default": DEFAULT, "patience": _PATIENCE, "scaled": True, "version": 1}


def fit_linear(view: View) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, float]]:
    """(scores on validation, scores on query, what was chosen) of the strength with the least validation loss.

    Each fit starts from the one before it and converges: rare segments have small gradients, so that
    scikit-learn's own tolerance would stop it long before the optimum.
    """
    scales = [row_scale(side.features) for side in view.sides]
    # In units of the typical row, so that the strengths mean the same for short and long rows.
    unit = max(float(scales[0].mean()), 1e-12)
    support, validation, query = (
        scale_rows(side.features, scale / unit) for side, scale in zip(view.sides, scales, strict=True)
    )
    fit = _Ridge(view) if view.kind == "regression" else _Logistic(view)
    best: tuple[float, NDArray[np.float64], NDArray[np.float64], float] | None = None
    worse = 0
    for strength in STRENGTHS if view.can_choose else (DEFAULT,):
        score = fit(support, view.support.labels, strength)
        on_validation = score(validation)
        loss = mean_loss(view.kind, view.validation.labels, on_validation)
        if best is None or loss < best[0]:
            best, worse = (loss, on_validation, score(query), strength), 0
        else:
            worse += 1
            if worse == _PATIENCE:
                break
    assert best is not None
    return best[1], best[2], {"C": best[3]}


Scorer = Callable[[csr_matrix], NDArray[np.float64]]


class _Logistic:
    def __init__(self, view: View) -> None:
        self._binary = view.kind == "binary"
        self._classes = view.classes
        self._model = LogisticRegression(tol=1e-6, max_iter=300, warm_start=True)

    def __call__(self, features: csr_matrix, labels: NDArray[np.float32], strength: float) -> Scorer:
        self._model.set_params(C=strength)
        self._model.fit(features, labels)
        return self._score

    def _score(self, features: csr_matrix) -> NDArray[np.float64]:
        probabilities = self._model.predict_proba(features).astype(np.float64)
        if self._binary:
            return probabilities[:, 1]
        # A class that the support does not hold has probability 0.
        every = np.zeros((len(probabilities), self._classes))
        every[:, self._model.classes_.astype(int)] = probabilities
        return every


class _Ridge:
    def __init__(self, view: View) -> None:
        labels = view.support.labels
        self._mean, self._scale = float(labels.mean()), float(labels.std()) or 1.0

    def __call__(self, features: csr_matrix, labels: NDArray[np.float32], strength: float) -> Scorer:
        model: Any = Ridge(alpha=1 / strength, solver="sparse_cg", tol=1e-5)
        model.fit(features, (labels - self._mean) / self._scale)
        return lambda unseen: model.predict(unseen).astype(np.float64) * self._scale + self._mean
