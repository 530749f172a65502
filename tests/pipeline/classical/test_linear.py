"""The linear models are scikit-learn's run to the end, in a form that a model of all tasks can start from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from pipeline.classical import fit_linear, linear
from pipeline.classical.views import Side, row_scale, scale_rows

V = 12


def side(rows: int, seed: int, kind: str = "binary") -> Side:
    rng = np.random.default_rng(seed)
    features = rng.poisson(0.5, (rows, V)).astype(np.float32)
    signal = features[:, 0] - features[:, 1] + rng.normal(size=rows)
    labels = {"binary": signal > 0.3, "multiclass": np.digitize(signal, [-0.5, 0.8]), "regression": 40 + 5 * signal}
    return Side(csr_matrix(features), labels[kind].astype(np.float32), np.arange(rows))


@pytest.mark.parametrize("offset", [1.0, 20.0])
def test_the_fit_is_that_of_scikit_learn_run_to_the_end(monkeypatch: pytest.MonkeyPatch, offset: float) -> None:
    monkeypatch.setattr(linear, "STRENGTHS", (0.1, 1.0))
    support, validation, unseen = side(300, 0), side(100, 1), side(50, 2)
    found = fit_linear("binary", 1, support, validation, offset)
    unit = row_scale(support.features, offset).mean()

    def scaled(one: Side) -> csr_matrix:
        return scale_rows(one.features, row_scale(one.features, offset) / unit).astype(np.float64)

    exact = LogisticRegression(C=found.strength, tol=1e-10, max_iter=10_000).fit(scaled(support), support.labels)
    expected = exact.predict_proba(scaled(unseen))[:, 1]
    assert found.scores(unseen.features) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_scores_follow_from_weights_and_biases(kind: str) -> None:
    support, validation = side(400, 0, kind), side(100, 1, kind)
    found = fit_linear(kind, 3, support, validation)
    outputs = 3 if kind == "multiclass" else 1
    assert (found.weights.shape, found.biases.shape) == ((V, outputs), (outputs,))
    x = support.features.toarray()
    logits = (x / np.sqrt(20 + x.sum(1, keepdims=True))) @ found.weights + found.biases
    scores = found.scores(support.features)
    if kind == "binary":
        assert scores == pytest.approx(1 / (1 + np.exp(-logits[:, 0])), rel=1e-5)
    elif kind == "multiclass":
        assert scores == pytest.approx(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), rel=1e-5)
        assert (scores.argmax(1) == support.labels).mean() > 0.5
    else:
        assert scores == pytest.approx(logits[:, 0], rel=1e-5)
        assert np.corrcoef(scores, support.labels)[0, 1] > 0.6


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_class_that_the_support_lacks_has_probability_0(missing: int) -> None:
    support = side(400, 0, "multiclass")
    kept = support.labels != missing
    support = Side(support.features[kept], support.labels[kept], support.rows[kept])
    scores = fit_linear("multiclass", 3, support, side(100, 1, "multiclass")).scores(support.features)
    assert (scores[:, missing] == 0).all()
    assert (scores.argmax(1) == support.labels).mean() > 0.6


@pytest.mark.parametrize(("label", "certain"), [(0.0, 0.0), (1.0, 1.0)])
def test_a_support_of_one_class_is_certain(label: float, certain: float) -> None:
    support = side(50, 0)
    one_class = Side(support.features, np.full_like(support.labels, label), support.rows)
    assert (fit_linear("binary", 1, one_class, side(50, 1)).scores(support.features) == certain).all()
