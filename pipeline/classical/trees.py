"""Baseline: LightGBM, the number of rounds chosen on validation."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pipeline.classical.views import View

OBJECTIVES = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
PARAMETERS: dict[str, Any] = {
    "learning_rate": 0.2,
    "num_leaves": 8,
    "feature_fraction": 0.1,
    "lambda_l2": 10.0,
    "min_data_in_leaf": 5,
    "min_sum_hessian_in_leaf": 0.1,
    "max_bin": 15,
    "feature_pre_filter": False,
    "force_row_wise": True,
    "num_threads": 1,
    "deterministic": True,
    "seed": 0,
    "verbosity": -1,
}
"""For wide sparse vectors and few positives: small trees, each on a tenth of the concepts."""
ROUNDS, PATIENCE, DEFAULT_ROUNDS = 300, 15, 50
FEW_CONCEPTS = 512
"""Below so many concepts each tree sees half of them."""
SETTINGS = {"parameters": PARAMETERS, "rounds": ROUNDS, "patience": PATIENCE, "default": DEFAULT_ROUNDS, "version": 1}


class TreeFitter:
    """Fits one task after the other; the binned rows are kept for the next task where its rows are the same.

    Not for two threads at once: each makes its own.
    """

    def __init__(self) -> None:
        self._datasets: tuple[lgb.Dataset, lgb.Dataset] | None = None
        self._rows: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    def fit(self, view: View, features: tuple[csr_matrix, csr_matrix]) -> tuple[NDArray[np.float64], ...]:
        """(scores on validation, scores on query, [rounds]).

        features: the task's support and validation rows *before* masking, so that tasks can share their bins. A
        masked concept is never split on: its gain is multiplied by 0 (LightGBM's feature_contri).
        """
        support, validation = self._binned(view, features)
        parameters = PARAMETERS | {"objective": OBJECTIVES[view.kind]}
        vocabulary = features[0].shape[1]
        if vocabulary < FEW_CONCEPTS:
            parameters["feature_fraction"] = 0.5
        if view.kind == "multiclass":
            parameters["num_class"] = view.classes
        if len(view.masked):
            gain = np.ones(vocabulary)
            gain[view.masked] = 0
            parameters["feature_contri"] = gain.tolist()
        if view.can_choose:
            stop = lgb.early_stopping(PATIENCE, verbose=False)
            booster = lgb.train(parameters, support, ROUNDS, valid_sets=[validation], callbacks=[stop])
        else:
            booster = lgb.train(parameters, support, DEFAULT_ROUNDS)
        rounds = booster.best_iteration if view.can_choose else DEFAULT_ROUNDS

        def score(unseen: csr_matrix) -> NDArray[np.float64]:
            if not unseen.shape[0]:
                return np.zeros((0, view.classes) if view.kind == "multiclass" else 0)
            return np.asarray(booster.predict(unseen, num_iteration=rounds, num_threads=1), dtype=np.float64)

        return score(view.validation.features), score(view.query.features), np.array([float(rounds)])

    def _binned(self, view: View, features: tuple[csr_matrix, csr_matrix]) -> tuple[lgb.Dataset, lgb.Dataset]:
        rows = (view.support.rows, view.validation.rows)
        same = self._rows is not None and all(np.array_equal(a, b) for a, b in zip(rows, self._rows, strict=True))
        if not same or self._datasets is None:
            parameters = {
                name: PARAMETERS[name] for name in ("max_bin", "feature_pre_filter", "verbosity", "num_threads")
            }
            support = lgb.Dataset(features[0], view.support.labels, params=parameters, free_raw_data=False).construct()
            validation = support.create_valid(features[1], view.validation.labels).construct()
            self._rows, self._datasets = rows, (support, validation)
        support, validation = self._datasets
        support.set_label(view.support.labels)
        validation.set_label(view.validation.labels)
        return support, validation
