"""Linear read-outs of many tasks, fitted anew under a Gaussian prior that they share.

A task of a few dozen positives cannot say where its weights over the shared outputs lie; where those of the others lie
can. With the trained weights w_1 … w_K, of mean m and covariance S,
    w_k ~ N(m, S + ridge I),   a label of task k ~ Bernoulli(sigmoid(w_k z + b_k + offset)),   b_k free,
and each w_k, b_k is put at the mode of its posterior (empirical Bayes for hierarchical logistic regression; Gelman et
al., Bayesian Data Analysis, chapter 5; the prior's moments are taken once and not iterated by EM: on z that were
learnt from the same labels, iterations only shrink S).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_RIDGE = 1e-3
_BIAS_PRECISION = 1e-4
"""A trace of a prior: without it a task of one class has no mode."""
_STEPS = 50
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class TaskRows:
    """The rows of a task: z [rows, width], offset [rows] (added to its logits), labels [rows] of 0 and 1."""

    z: Tensor
    offset: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True)
class Prior:
    """mean [width], precision [width, width]: of the weights of a task drawn at random."""

    mean: Tensor
    precision: Tensor


def prior_of(weights: Tensor) -> Prior:
    """weights [tasks, width], the trained ones -> their moments, in float64."""
    weights = weights.double()
    mean = weights.mean(0)
    away = weights - mean
    covariance = away.t() @ away / (len(weights) + 1)
    covariance += _RIDGE * torch.eye(weights.shape[1], dtype=torch.float64, device=weights.device)
    return Prior(mean, torch.linalg.inv(covariance))


def fit_readouts(tasks: Sequence[TaskRows], weights: Tensor, biases: Tensor) -> tuple[Tensor, Tensor]:
    """weights [tasks, width] and biases [tasks] as trained -> those at the mode under their prior, in float64."""
    prior = prior_of(weights)
    fitted = [mode(rows, weights[k], biases[k], prior) for k, rows in enumerate(tasks)]
    return torch.stack([weight for weight, _ in fitted]), torch.stack([bias for _, bias in fitted])


def mode(rows: TaskRows, weight: Tensor, bias: Tensor, prior: Prior) -> tuple[Tensor, Tensor]:
    """weight [width] and bias [] of the highest posterior, by Newton's method from those given; a step that does not
    raise the posterior is halved until it does."""
    width = len(weight)
    z = torch.cat([rows.z, rows.z.new_ones(len(rows.z), 1)], dim=1).double()
    offset, labels = rows.offset.double(), rows.labels.double()
    precision = torch.block_diag(prior.precision, prior.precision.new_full((1, 1), _BIAS_PRECISION))
    now = torch.cat([weight.double(), bias.double().reshape(1)])
    centre = torch.cat([prior.mean, now[width:]])

    def height(at: Tensor) -> Tensor:
        logits, away = z @ at + offset, at - centre
        return (labels * logits - F.softplus(logits)).sum() - 0.5 * away @ precision @ away

    best = height(now)
    for _ in range(_STEPS):
        share = torch.sigmoid(z @ now + offset)
        gradient = z.t() @ (labels - share) - precision @ (now - centre)
        curvature = (z * (share * (1 - share)).unsqueeze(1)).t() @ z + precision
        step = torch.linalg.solve(curvature, gradient)
        reached = height(now + step)
        while reached < best and step.abs().max() > _TOLERANCE:
            step = step / 2
            reached = height(now + step)
        now, before, best = now + step, best, reached
        if best - before <= _TOLERANCE * (1 + best.abs()):
            break
    return now[:width], now[width]
