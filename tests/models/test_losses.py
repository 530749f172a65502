"""Losses by kind of task."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from models.losses import balanced_weights, doubly_robust_loss, inverse_propensity_loss, pair_losses
from models.task import Task
from tests.models.examples import make_batch

TASKS = [
    Task(name="buyer"),
    Task(name="colour", kind="multiclass", outputs=3),
    Task(name="age", kind="regression"),
    Task(name="size", kind="multiclass", outputs=2),
]


def test_each_pair_has_the_loss_of_its_kind() -> None:
    torch.manual_seed(0)
    batch = make_batch([{}, {}], None, tasks=4)
    batch = replace(batch, labels=torch.tensor([1.0, 2, -1.5, 0, 0, 1, 40, 1]))
    logits = torch.randn(8, 3, dtype=torch.float64)
    expected = [
        F.softplus(-logits[0, 0]),
        -F.log_softmax(logits[1], 0)[2],
        (logits[2, 0] + 1.5) ** 2,
        -F.log_softmax(logits[3, :2], 0)[0],
        F.softplus(logits[4, 0]),
        -F.log_softmax(logits[5], 0)[1],
        (logits[6, 0] - 40) ** 2,
        -F.log_softmax(logits[7, :2], 0)[1],
    ]
    torch.testing.assert_close(pair_losses(logits, batch, TASKS), torch.stack(expected))


def test_columns_past_a_tasks_own_get_no_gradient() -> None:
    batch = make_batch([{}], None, tasks=4)
    logits = torch.randn(4, 3, requires_grad=True)
    pair_losses(logits, batch, TASKS).sum().backward()
    own = torch.arange(3) < torch.tensor([1, 3, 1, 2])[:, None]
    assert (logits.grad[~own] == 0).all()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[own] != 0).all()


@pytest.mark.parametrize("logit", [-1e30, -200.0, 0.0, 200.0, 1e30])
def test_any_finite_logit_gives_a_finite_loss(logit: float) -> None:
    batch = make_batch([{}, {}], [(0, 0), (0, 1), (1, 0), (1, 1)], tasks=4)
    logits = torch.full((4, 3), logit, requires_grad=True)
    losses = pair_losses(logits, batch, TASKS)
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(logits.grad).all()


def test_no_pairs_have_no_losses() -> None:
    assert pair_losses(torch.zeros(0, 3), make_batch([{}], [], tasks=4), TASKS).shape == (0,)


def test_rare_tasks_weigh_more_and_the_mean_is_1() -> None:
    weights = balanced_weights(torch.tensor([50, 1, 99]), torch.tensor([100, 100, 100]))
    assert weights.mean() == pytest.approx(1)
    assert weights[1] == pytest.approx(float(weights[2]))
    assert weights[1] / weights[0] == pytest.approx((0.25 / 0.0099) ** 0.5, rel=1e-5)


def test_a_task_of_one_class_or_no_pairs_has_a_finite_weight() -> None:
    weights = balanced_weights(torch.tensor([0, 10, 0, 5]), torch.tensor([10, 10, 0, 10]))
    assert torch.isfinite(weights).all()
    assert weights[0] == weights[1]


@pytest.mark.parametrize(("wrong_propensities", "wrong_imputation"), [(False, True), (True, False)])
def test_debiased_losses_expect_the_sum_over_the_entire_space(wrong_propensities: bool, wrong_imputation: bool) -> None:
    """Over all 2^4 ways in which rows may be observed, each weighed by its probability."""
    errors = torch.tensor([0.3, 1.2, 0.7, 2.0], dtype=torch.float64)
    happens = torch.tensor([0.9, 0.5, 0.2, 0.1], dtype=torch.float64)
    propensities = happens * 0.5 if wrong_propensities else happens
    imputed = errors + 1 if wrong_imputation else errors
    by_propensity = robust = 0.0
    for case in range(16):
        observed = torch.tensor([float(case >> row & 1) for row in range(4)], dtype=torch.float64)
        chance = float(torch.where(observed == 1, happens, 1 - happens).prod())
        squares = float((observed / propensities * (errors - imputed).square()).sum())
        by_propensity += chance * float(inverse_propensity_loss(errors, observed, propensities))
        robust += chance * (float(doubly_robust_loss(errors, imputed, observed, propensities)) - squares)
    assert robust == pytest.approx(float(errors.sum()))
    assert (by_propensity == pytest.approx(float(errors.sum()))) != wrong_propensities
