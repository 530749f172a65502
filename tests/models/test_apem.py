"""APEM against its formulas in plain loops, and its schedule."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.layers.adaptive import AdaptiveLayer, dynamic_activation
from models.selection import row_embeddings, selection_rate
from tests.models.examples import make_batch
from tests.models.zoo import CASES, fields_of, make, mlp

ROWS = [{0: 1.0, 3: 0.5, 5: 2.0}, {1: 1.0}, {4: 2.0, 6: 1.0}]
TASKS = 3
FREE = [[]] * TASKS


@pytest.mark.parametrize("gamma", [10.0, 1.0, 1e-3])
def test_the_dynamic_activation_is_equation_13(gamma: float) -> None:
    z = torch.linspace(-0.8 * gamma, 0.8 * gamma, 33, dtype=torch.float64, requires_grad=True)
    value = dynamic_activation(z, torch.tensor(gamma, dtype=torch.float64))
    (slope,) = torch.autograd.grad(value.sum(), z)
    for x, y, d in zip(z.tolist(), value.tolist(), slope.tolist(), strict=True):
        if abs(x) < gamma / 2:
            expected = -2 / gamma**3 * x**3 + 3 / (2 * gamma) * x + 0.5
            derivative = -6 / gamma**3 * x**2 + 3 / (2 * gamma)
        else:
            expected, derivative = float(x > 0), 0.0
        assert y == pytest.approx(expected, abs=1e-12)
        assert d == pytest.approx(derivative, abs=1e-9 / gamma)


def test_the_dynamic_activation_leaves_0_and_1_without_a_step() -> None:
    gamma = torch.tensor(2.0, dtype=torch.float64)
    for edge, limit in ((-1.0, 0.0), (1.0, 1.0)):
        z = torch.tensor([edge - 1e-7, edge, edge + 1e-7], dtype=torch.float64, requires_grad=True)
        value = dynamic_activation(z, gamma)
        (slope,) = torch.autograd.grad(value.sum(), z)
        assert value.tolist() == pytest.approx([limit] * 3, abs=1e-12)
        assert slope.tolist() == pytest.approx([0.0] * 3, abs=1e-6)


def norm(layer: torch.nn.LayerNorm, x: np.ndarray) -> np.ndarray:
    scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.eps)
    return scaled * layer.weight.detach().numpy() + layer.bias.detach().numpy()


def attend(query: np.ndarray, key: np.ndarray, value: np.ndarray, heads: int) -> np.ndarray:
    width, out = query.shape[1] // heads, np.zeros((len(query), query.shape[1]))
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for i in range(len(query)):
            scores = np.array([query[i, part] @ key[j, part] / math.sqrt(width) for j in range(len(key))])
            shares = np.exp(scores) / np.exp(scores).sum()
            out[i, part] = sum(share * v for share, v in zip(shares, value[:, part], strict=True))
    return out


def shared_layer(layer: Any, h: np.ndarray, gamma: float) -> np.ndarray:
    if not isinstance(layer, AdaptiveLayer):
        q, k, v, o = layer.query_key_value_out.detach().numpy()
        return norm(layer.norm, attend(h @ q, h @ k, h @ v, 2) @ o + h)
    first, _, last, *normalised = layer.selector
    unit = np.maximum(h.ravel() @ first.weight.detach().numpy().T + first.bias.detach().numpy(), 0)
    z = unit @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    z = norm(normalised[0], z) if normalised else z
    z = np.where(z >= gamma / 2, 1, np.where(z <= -gamma / 2, 0, -2 * z**3 / gamma**3 + 1.5 * z / gamma + 0.5))
    k, v, o = layer.key_value_out.detach().numpy()
    out = attend(layer.inducing.detach().numpy() * z[:, None], h @ k, h @ v, 2) @ o
    return norm(layer.norm, out + (h if layer.residual is None else layer.residual.detach().numpy() @ h))


def beside(model: Any, fields: np.ndarray) -> np.ndarray:
    """What towers read of the fields themselves."""
    if model.beside is None:
        return np.zeros(0)
    pairs = [fields[f] * fields[g] for g in range(len(fields)) for f in range(g)]
    read = np.concatenate([fields.ravel(), sum(pairs)] if model.beside.products else [fields.ravel()])
    return mlp(model.beside.network, 0, torch.from_numpy(read)).detach().numpy()


@pytest.mark.parametrize("name", sorted(name for name in CASES if name.startswith("apem")))
@pytest.mark.parametrize("gamma", [10.0, 0.5])
def test_the_network_is_what_the_paper_writes(name: str, gamma: float) -> None:
    model = make(name, FREE, 7, [1] * TASKS)
    model.gamma.fill_(gamma)
    logits = model(make_batch(ROWS, None, TASKS)).view(3, TASKS)
    for row, concepts in enumerate(ROWS):
        y, told = fields_of(model, concepts).detach().numpy(), None
        for number, layer in enumerate(model.layers):
            y = shared_layer(layer, y, gamma)
            if model.selectors:
                selector = model.selectors[number]
                read = attend(selector.indicators.detach().numpy(), y, y, 1)
                told = norm(selector.norm, read if told is None else told + read)
        for task in range(TASKS):
            read = y.ravel() if told is None else told[task]
            read = torch.from_numpy(np.concatenate([read, beside(model, fields_of(model, concepts).detach().numpy())]))
            unit = mlp(model.towers.networks, task, read)
            expected = unit @ model.towers.last[:, task] + model.towers.bias[task]
            torch.testing.assert_close(logits[row, task], expected, rtol=0, atol=1e-10)


def test_what_a_task_reads_does_not_flow_back() -> None:
    """Another indicator for task 0 changes task 0 alone."""
    model = make("apem", FREE, 7, [1] * TASKS)
    batch = make_batch(ROWS, None, TASKS)
    before = model(batch).view(3, TASKS)
    with torch.no_grad():
        for selector in model.selectors:
            selector.indicators[0] += 1
    after = model(batch).view(3, TASKS)
    assert not torch.isclose(before[:, 0], after[:, 0]).any()
    assert torch.equal(before[:, 1:], after[:, 1:])


def test_the_dependence_loss_is_over_rows_with_both_tasks() -> None:
    model = make("apem", FREE, 7, [1] * TASKS, chains=[[1, 0]], dependence_weight=0.5)
    batch = make_batch(ROWS, [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2)], TASKS)
    batch = replace(batch, labels=torch.tensor([0.0, 1, 1, 1, 1, 0]))
    p = torch.tensor([0.2, 0.7, 0.3, 0.4, 0.3, 0.9]).double()
    expected = 0.5 * ((0.5 - 1) ** 2 + (-0.1 - 0) ** 2)
    assert float(model.extra_loss(batch, p.logit()[:, None])) == pytest.approx(expected)
    free = make("apem square", FREE, 7, [1] * TASKS)
    assert float(free.extra_loss(batch, free(batch).detach())) == 0


def test_gamma_falls_to_its_floor_over_half_of_the_steps_and_travels_with_the_weights() -> None:
    model = make("apem", FREE, 7, [1] * TASKS)
    gammas = []
    for step in (0, 250, 499, 500, 999):
        model.on_step(step, 1000)
        gammas.append(float(model.gamma))
    assert gammas == pytest.approx([10, 5, 0.02, 1e-3, 1e-3])
    assert float(model.state_dict()["gamma"]) == pytest.approx(1e-3)


def test_selection_rates_count_the_points_that_are_let_in() -> None:
    model = make("apem", FREE, 7, [1] * TASKS)
    model.gamma.fill_(1e-3)
    rates = selection_rate(model, make_batch(ROWS, [], TASKS))
    assert rates.shape == (3, 2)
    layer = model.layers[0]
    for row, concepts in enumerate(ROWS):
        z: Tensor = layer.selector(fields_of(model, concepts).flatten())
        assert float(rates[row, 0]) == pytest.approx(float((z > -5e-4).double().mean()))
    with pytest.raises(ValueError, match="without ASRG"):
        selection_rate(make("apem asrg", FREE, 7, [1] * TASKS), make_batch(ROWS, [], TASKS))


def test_row_embeddings_are_means_of_the_last_layer() -> None:
    model = make("apem", FREE, 7, [1] * TASKS)
    found = row_embeddings(model, make_batch(ROWS, None, TASKS))
    for row, concepts in enumerate(ROWS):
        y = fields_of(model, concepts).detach().numpy()
        for layer in model.layers:
            y = shared_layer(layer, y, 10.0)
        torch.testing.assert_close(found[row], torch.from_numpy(y.mean(0)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 4}, "multiple of heads"),
        ({"gamma_end": 0.0}, "gamma_end is above 0"),
        ({"anneal": 0.0}, "anneal is in"),
        ({"selector_norm": True, "asrg": False}, "there are none"),
        ({"dependence_weight": -1.0}, "dependence_weight at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("apem", FREE, 7, [1] * TASKS, **settings)
