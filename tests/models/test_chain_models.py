"""ESMM, ESCM2 and AITM against their formulas in plain loops."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.losses import dependence_loss
from tests.models.examples import make_batch
from tests.models.zoo import input_of, make, mlp

ROWS = [{0: 1.0, 3: 0.5, 5: 2.0}, {1: 1.0}, {4: 2.0, 6: 1.0}]
CHAIN = [[2, 0, 3]]
TASKS = 4
FREE = [[]] * TASKS


@torch.no_grad()
def factor(model: Any, task: int, concepts: dict[int, float]) -> float:
    """P(T_i | T_(i-1)) of one row."""
    hidden = mlp(model.networks, task, input_of(model, concepts))
    return float(torch.sigmoid(hidden @ model.towers.last[:, task] + model.towers.bias[task]))


@pytest.mark.parametrize("name", ["esmm", "escm2", "escm2 ipw"])
def test_esmm_multiplies_factors_along_the_chain(name: str) -> None:
    model = make(name, FREE, 7, [1] * TASKS, chains=CHAIN)
    logits = model(make_batch(ROWS, None, TASKS)).view(3, TASKS, -1)
    for row, concepts in enumerate(ROWS):
        p = [factor(model, task, concepts) for task in range(TASKS)]
        entire = [p[2] * p[0], p[1], p[2], p[2] * p[0] * p[3]]
        assert logits[row, :, 0].sigmoid().tolist() == pytest.approx(entire)
        assert logits[row, :, 1].sigmoid().tolist() == pytest.approx(p)


def test_esmm_starts_from_the_shares_of_the_chain() -> None:
    model = make("esmm", FREE, 7, [1] * TASKS, chains=CHAIN)
    with torch.no_grad():
        model.towers.last.zero_()
    model.start_from_priors(torch.tensor([0.2, 0.5, 0.4, 0.05]))
    logits = model(make_batch(ROWS, None, TASKS)).view(3, TASKS, -1)
    torch.testing.assert_close(logits[0, :, 0].sigmoid(), torch.tensor([0.2, 0.5, 0.4, 0.05]).double())
    torch.testing.assert_close(logits[0, :, 1].sigmoid(), torch.tensor([0.5, 0.5, 0.4, 0.25]).double())


@pytest.mark.parametrize("kind", ["ipw", "dr"])
def test_escm2_adds_a_debiased_loss_over_rows_with_both_labels(kind: str) -> None:
    model = make(
        "escm2", FREE, 7, [1] * TASKS, chains=CHAIN, kind=kind, counterfactual_weight=0.5, propensity_floor=0.3
    )
    # Row 1 has no label of task 0, so none of its links counts.
    batch = make_batch(ROWS, [(0, 0), (0, 2), (0, 3), (1, 2), (1, 3), (2, 0), (2, 2)], TASKS)
    batch = replace(batch, labels=torch.tensor([1.0, 1, 0, 1, 0, 0, 0]))
    logits = model(batch)
    labels = {(0, 0): 1, (0, 2): 1, (0, 3): 0, (2, 0): 0, (2, 2): 0}
    expected = 0.0
    for row, before, later in ((0, 2, 0), (0, 0, 3), (2, 2, 0)):
        p = factor(model, later, ROWS[row])
        error = -math.log(p if labels[row, later] else 1 - p)
        happened = factor(model, 2, ROWS[row]) * (factor(model, 0, ROWS[row]) if before == 0 else 1)
        weight = labels[row, before] / max(happened, 0.3)
        if kind == "ipw":
            expected += weight * error
            continue
        link = {0: 0, 3: 1}[later]
        hidden = mlp(model.imputation, link, input_of(model, ROWS[row]))
        raw = float((hidden @ model.imputation_last[link, :, 0] + model.imputation_bias[link, 0, 0]).detach())
        imputed = math.log1p(math.exp(raw))
        expected += imputed + weight * (error - imputed) + weight * (error - imputed) ** 2
    assert float(model.extra_loss(batch, logits).detach()) == pytest.approx(0.5 * expected)


def test_propensities_get_no_gradient() -> None:
    model = make("escm2 ipw", FREE, 7, [1] * TASKS, chains=[[0, 1]])
    batch = make_batch(ROWS, None, TASKS)
    batch = replace(batch, labels=torch.ones(12))
    model.extra_loss(batch, model(batch)).backward()
    assert model.networks.weights[0].grad[1].any()
    assert not model.networks.weights[0].grad[[0, 2, 3]].any()


@torch.no_grad()
def test_aitm_passes_on_what_a_step_has_learnt() -> None:
    model = make("aitm", FREE, 7, [1] * TASKS, chains=CHAIN)
    logits = model(make_batch(ROWS, None, TASKS)).view(3, TASKS)
    for row, concepts in enumerate(ROWS):
        x = input_of(model, concepts)
        q = [mlp(model.networks, task, x) for task in range(TASKS)]
        z: list[Tensor] = list(q)
        for link, (before, later) in enumerate(((2, 0), (0, 3))):
            passed = z[before] @ model.transfer[link] + model.transfer_bias[link, 0]
            h1, h2, h3 = model.attention[:, link]
            scores = [float((u @ h2) @ (u @ h3)) / math.sqrt(len(u)) for u in (passed, q[later])]
            total = sum(math.exp(score) for score in scores)
            mixed = [math.exp(s) / total * (u @ h1) for s, u in zip(scores, (passed, q[later]), strict=True)]
            z[later] = mixed[0] + mixed[1]
        expected = [float(z[task] @ model.towers.last[:, task] + model.towers.bias[task]) for task in range(TASKS)]
        assert logits[row].tolist() == pytest.approx(expected)


def test_aitms_calibrator_counts_what_exceeds_the_step_before() -> None:
    model = make("aitm", FREE, 7, [1] * TASKS, chains=CHAIN, calibrator_weight=2.0)
    batch = make_batch(ROWS, [(0, 0), (0, 2), (1, 0), (1, 2), (1, 3), (2, 0), (2, 3)], TASKS)
    p = torch.tensor([0.6, 0.5, 0.3, 0.4, 0.7, 0.1, 0.3]).double()
    # Row 0: .6 after .5; row 1: .3 after .4, .7 after .3; row 2: .3 after .1.
    assert float(model.extra_loss(batch, p.logit()[:, None])) == pytest.approx(2 * (0.1 + 0.4 + 0.2))


def test_the_dependence_loss_follows_the_labels_difference() -> None:
    before, later = torch.tensor([0.9, 0.5, 0.2]), torch.tensor([0.4, 0.6, 0.1])
    o_before, o_later = torch.tensor([1.0, 1, 0]), torch.tensor([0.0, 1, 0])
    expected = (0.5 - 1) ** 2 + (-0.1 - 0) ** 2 + (0.1 - 0) ** 2
    assert float(dependence_loss(before, later, o_before, o_later)) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["esmm", "escm2", "aitm"])
def test_without_chains_they_say_what_to_set(name: str) -> None:
    with pytest.raises(ValueError, match=r"set chains, such as chains: \[\[click, conversion\]\]"):
        make(name, FREE, 7, [1] * TASKS, chains=[])


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"kind": "snips"}, "kind is ipw or dr"), ({"propensity_floor": 0.0}, "propensity_floor is above 0")],
)
def test_settings_of_escm2_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("escm2", FREE, 7, [1] * TASKS, **settings)
