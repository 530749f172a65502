"""CGC, PLE and single-task networks against their formulas in plain loops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.examples import make_batch
from tests.models.zoo import input_of, make, mlp

ROWS = [{0: 1.0, 3: 0.5, 5: 2.0}, {1: 1.0}]
TASKS = 3


def gate(gates: Any, copy: int, x: Tensor) -> Tensor:
    return torch.softmax(mlp(gates.networks, copy, x) @ gates.last[copy] + gates.bias[copy, 0], 0)


def extract(layer: Any, own: list[Tensor], shared: Tensor) -> tuple[list[Tensor], Tensor | None]:
    of_task = [
        [mlp(layer.own, k * layer.task_experts + e, own[k]) for e in range(layer.task_experts)] for k in range(TASKS)
    ]
    of_all = [mlp(layer.shared, s, shared) for s in range(layer.shared.copies)]
    mixed = []
    for k in range(TASKS):
        shares = gate(layer.gates, k, own[k])
        mixed.append(sum(share * expert for share, expert in zip(shares, of_task[k] + of_all, strict=True)))
    if layer.shared_gate is None:
        return mixed, None
    everything = [expert for experts in of_task for expert in experts] + of_all
    shares = gate(layer.shared_gate, 0, shared)
    return mixed, sum(share * expert for share, expert in zip(shares, everything, strict=True))


def tower(towers: Any, task: int, x: Tensor) -> Tensor:
    return mlp(towers.networks, task, x) @ towers.last[:, task] + towers.bias[task]


@pytest.mark.parametrize(("name", "levels"), [("cgc", 1), ("ple", 1), ("ple", 2), ("ple", 3)])
def test_tasks_mix_their_own_and_the_shared_experts(name: str, levels: int) -> None:
    settings = {} if name == "cgc" else {"levels": levels, "shared_experts": 2}
    model = make(name, [[]] * TASKS, 7, [1] * TASKS, **settings)
    logits = model(make_batch(ROWS, None, TASKS)).view(2, TASKS)
    for row, concepts in enumerate(ROWS):
        x = input_of(model, concepts)
        own, shared = [x] * TASKS, x
        for layer in [model.extraction] if name == "cgc" else model.levels:
            own, shared = extract(layer, own, shared)
        for task in range(TASKS):
            torch.testing.assert_close(logits[row, task], tower(model.towers, task, own[task]))


def test_a_single_task_has_a_network_and_embeddings_of_its_own() -> None:
    model = make("single_task", [[]] * TASKS, 7, [1] * TASKS)
    logits = model(make_batch(ROWS, None, TASKS)).view(2, TASKS)
    tables = model.embedding.weight.view(7, TASKS, model.embedding_dim)
    for row, concepts in enumerate(ROWS):
        for task in range(TASKS):
            x = sum(w * tables[c, task] for c, w in concepts.items()) / (20 + sum(concepts.values())) ** 0.5
            hidden = mlp(model.networks, task, x)
            torch.testing.assert_close(logits[row, task], tower(model.towers, task, hidden))


def test_single_tasks_share_nothing() -> None:
    model = make("single_task", [[]] * TASKS, 7, [1] * TASKS)
    model(make_batch(ROWS, None, TASKS)).view(2, TASKS)[:, 1].sum().backward()
    table = model.embedding.weight.grad.view(7, TASKS, model.embedding_dim)
    assert table[:, 1].any()
    assert not table[:, [0, 2]].any()
    for weight in model.networks.weights:
        assert not weight.grad[[0, 2]].any()
