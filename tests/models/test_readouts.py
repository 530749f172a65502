"""Read-outs under a shared prior: the mode of the posterior, and what it does to tasks of few rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit

from models.readouts import TaskRows, fit_readouts, mode, prior_of

WIDTH = 3


def rows_of(weight: list[float], bias: float, count: int, seed: int) -> TaskRows:
    rng = np.random.default_rng(seed)
    z, offset = rng.normal(size=(count, WIDTH)), 0.3 * rng.normal(size=count)
    labels = rng.random(count) < expit(z @ np.array(weight) + bias + offset)
    return TaskRows(torch.tensor(z).float(), torch.tensor(offset).float(), torch.tensor(labels).float())


def test_the_mode_is_that_of_a_plain_minimiser() -> None:
    rows = rows_of([1.0, -1.0, 0.5], -1.0, 40, seed=1)
    prior = prior_of(torch.tensor([[1.0, -0.5, 0.2], [0.6, -0.7, 0.0], [1.2, -0.4, 0.4], [0.4, 0.2, -0.1]]))
    weight, bias = mode(rows, torch.zeros(WIDTH), torch.zeros(()), prior)
    z, offset, labels = (column.double().numpy() for column in (rows.z, rows.offset, rows.labels))
    mean, precision = prior.mean.numpy(), prior.precision.numpy()

    def negative(at: np.ndarray) -> float:
        logits, away = z @ at[:WIDTH] + at[WIDTH] + offset, at[:WIDTH] - mean
        fit = labels @ np.logaddexp(0, -logits) + (1 - labels) @ np.logaddexp(0, logits)
        return fit + 0.5 * away @ precision @ away + 0.5e-4 * at[WIDTH] ** 2

    expected = minimize(negative, np.zeros(WIDTH + 1), tol=1e-10).x
    assert torch.cat([weight, bias.reshape(1)]).numpy() == pytest.approx(expected, abs=1e-4)


def test_a_task_of_few_rows_goes_by_the_others_and_one_of_many_by_itself() -> None:
    usual = [1.5, -1.0, 0.0]
    many = [rows_of(usual, -0.5, 2000, seed) for seed in range(12)]
    odd = rows_of([-1.5, 1.0, 1.0], -0.5, 20_000, seed=90)
    few = rows_of(usual, -0.5, 12, seed=91)
    rng = torch.Generator().manual_seed(0)
    trained = torch.tensor(usual) + 0.2 * torch.randn(14, WIDTH, generator=rng)
    trained[12], trained[13] = torch.tensor([-1.4, 1.1, 0.9]), torch.tensor([6.0, 5.0, -7.0])
    weights, _ = fit_readouts([*many, odd, few], trained, torch.zeros(14))
    wanted = torch.tensor(usual, dtype=torch.float64)
    assert (weights[13] - wanted).norm() < 0.5 * (trained[13] - wanted).norm()
    assert weights[12].tolist() == pytest.approx([-1.5, 1.0, 1.0], abs=0.15)


def test_a_task_of_one_class_has_a_mode() -> None:
    rows = TaskRows(torch.randn(8, WIDTH), torch.zeros(8), torch.zeros(8))
    weight, bias = mode(rows, torch.zeros(WIDTH), torch.zeros(()), prior_of(torch.eye(WIDTH)))
    assert weight.isfinite().all()
    assert bias.isfinite()
    assert bias < -2
