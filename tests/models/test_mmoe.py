"""MMoE and Shared-Bottom against their formulas in plain loops."""

from __future__ import annotations

import torch

from tests.models.examples import make_batch
from tests.models.zoo import make

ROWS = [{0: 1.0, 3: 0.5, 5: 2.0}, {1: 1.0}]


def test_mmoe_is_towers_over_gated_experts() -> None:
    model = make("mmoe", [[]] * 2, 7, [1, 1])
    logits = model(make_batch(ROWS, None, 2)).view(2, 2)
    for row, concepts in enumerate(ROWS):
        x = sum(w * model.embedding.weight[c] for c, w in concepts.items()) / (20 + sum(concepts.values())) ** 0.5
        for task in range(2):
            gate = torch.softmax(model.gates.last[task] @ x + model.gates.last_bias[task], 0)
            mixed = torch.zeros(())
            for e in range(2):
                first, second = model.experts.weights
                stream = torch.relu(x @ first[e] + model.experts.biases[0][e, 0])
                stream = stream + torch.relu(stream @ second[e] + model.experts.biases[1][e, 0])
                mixed = mixed + gate[e] * stream
            unit = torch.relu(mixed @ model.towers.first[:, :, task] + model.towers.first_bias[:, task])
            expected = unit @ model.towers.last[:, task] + model.towers.bias[task]
            torch.testing.assert_close(logits[row, task], expected)


def test_shared_bottom_is_a_tower_a_task_over_one_network() -> None:
    model = make("shared_bottom", [[]] * 2, 7, [1, 1])
    logits = model(make_batch(ROWS, None, 2)).view(2, 2)
    for row, concepts in enumerate(ROWS):
        hidden = sum(w * model.embedding.weight[c] for c, w in concepts.items()) / (20 + sum(concepts.values())) ** 0.5
        for weight, bias in zip(model.bottom.weights, model.bottom.biases, strict=True):
            hidden = torch.relu(hidden @ weight[0] + bias[0, 0])
        for task in range(2):
            unit = torch.relu(hidden @ model.towers.first[:, :, task] + model.towers.first_bias[:, task])
            expected = unit @ model.towers.last[:, task] + model.towers.bias[task]
            torch.testing.assert_close(logits[row, task], expected)


def test_mmoe_tells_its_gates() -> None:
    weights = make("mmoe", [[]] * 3, 7, [1, 1, 1]).gate_weights(make_batch(ROWS, None, 3))
    assert weights.shape == (2, 2, 3)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 3).double())
