"""What is counted of chains: violations, and errors against true probabilities, by hand-made scores."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluate.chains import expected_auc, measure_chains
from pipeline.evaluate.metrics import auc
from pipeline.evaluate.predict import TaskScores
from pipeline.evaluate.results import MODEL, ORACLE

NAMES = ["buy", "click", "again"]
CHAIN = [["click", "buy"]]


def task(scores: list[float], rows: list[int] | None = None, labels: list[float] | None = None) -> TaskScores:
    count = len(scores)
    return TaskScores(
        np.array(rows if rows is not None else range(count)),
        np.array(labels if labels is not None else [0.0, 1.0] * count, np.float32)[:count],
        np.array(scores),
    )


NOTHING = task([])


def test_violations_are_counted_on_rows_that_have_both_steps() -> None:
    scores = {MODEL: [task([0.5, 0.3, 0.1], rows=[1, 2, 4]), task([0.4, 0.4, 0.4, 0.4, 0.4]), NOTHING]}
    (link,) = measure_chains(CHAIN, NAMES, scores, local=False)
    assert (link["before"], link["later"], link["rows"]) == ("click", "buy", 3)
    own = link["of"][MODEL]
    assert own["violations"] == pytest.approx(1 / 3)
    assert own["excess"] == pytest.approx(0.1 / 3)
    assert "error" not in own


def test_a_step_as_likely_as_the_one_before_is_no_violation() -> None:
    scores = {MODEL: [task([0.4, 0.4 + 1e-9]), task([0.4, 0.4]), NOTHING]}
    assert measure_chains(CHAIN, NAMES, scores, local=False)[0]["of"][MODEL]["violations"] == 0


def test_errors_against_the_truth() -> None:
    before, later = np.array([0.5, 0.2, 0.8]), np.array([0.1, 0.1, 0.2])
    scores = {
        MODEL: [task([0.1, 0.2, 0.2]), task([0.2, 0.1, 0.8]), NOTHING],
        ORACLE: [task(later.tolist()), task(before.tolist()), NOTHING],
    }
    of = measure_chains(CHAIN, NAMES, scores, local=False)[0]["of"]
    assert of[MODEL]["error"] == pytest.approx(0.1 / 3)
    # Quotients .5, 1 (not 2), .25 against .2, .5, .25.
    assert of[MODEL]["conditional_error"] == pytest.approx((0.3 + 0.5) / 3)
    assert of[MODEL]["conditional_bias"] == pytest.approx((0.3 + 0.5) / 3)
    assert of[ORACLE]["conditional_error"] == of[ORACLE]["error"] == 0


def test_in_local_space_scores_are_multiplied_along_the_chain() -> None:
    scores = {MODEL: [task([0.9, 0.9]), task([0.5, 0.2]), task([0.95, 0.95])]}
    links = measure_chains([["click", "buy", "again"]], NAMES, scores, local=True)
    assert [link["of"][MODEL]["violations"] for link in links] == [0, 0]
    truth = {ORACLE: [task([0.45, 0.18]), task([0.5, 0.2]), task([0.45 * 0.95, 0.18 * 0.95])]}
    links = measure_chains([["click", "buy", "again"]], NAMES, scores | truth, local=True)
    assert [link["of"][MODEL]["error"] for link in links] == pytest.approx([0, 0])


def test_segments_that_were_left_out_and_unknown_truths_are_passed_over() -> None:
    scores = {
        MODEL: [task([0.1, 0.2]), task([0.5, 0.2]), NOTHING],
        ORACLE: [task([0.1], rows=[0]), task([0.5, 0.2]), NOTHING],
    }
    assert measure_chains([["click", "gone"]], NAMES, scores, local=False) == []
    (link,) = measure_chains(CHAIN, NAMES, scores, local=False)
    assert set(link["of"]) == {MODEL}


def test_the_expected_auc_is_the_mean_over_drawn_labels() -> None:
    random = np.random.default_rng(0)
    probabilities = random.random(300)
    scores = probabilities + 0.5 * random.random(300)
    drawn = [auc((random.random(300) < probabilities).astype(float), scores) for _ in range(200)]
    assert expected_auc(probabilities, scores) == pytest.approx(np.mean(drawn), abs=0.01)
