"""Wide & Deep, DCN and DCN-Mix against their formulas in plain loops."""

from __future__ import annotations

import pytest
import torch

from tests.models.examples import make_batch
from tests.models.zoo import fields_of, make, mlp

ROWS = [{0: 1.0, 3: 0.5, 5: 2.0}, {1: 1.0}, {}]


def test_wide_and_deep_adds_a_linear_model_over_concepts() -> None:
    model = make("wdl", [[]] * 2, 7, [1, 1])
    logits = model(make_batch(ROWS, None, 2)).view(3, 2)
    for row, concepts in enumerate(ROWS):
        hidden = mlp(model.deep, 0, fields_of(model, concepts).flatten())
        wide = sum((w * model.linear.weight[c] for c, w in concepts.items()), torch.zeros(2).double())
        expected = hidden @ model.towers.last + model.towers.bias + wide / (1 + sum(concepts.values())) ** 0.5
        torch.testing.assert_close(logits[row], expected)


@pytest.mark.parametrize("name", ["dcn", "dcn_mix"])
def test_crosses_stand_beside_the_deep_part(name: str) -> None:
    model = make(name, [[]] * 2, 7, [1, 1])
    logits = model(make_batch(ROWS, None, 2)).view(3, 2)
    for row, concepts in enumerate(ROWS):
        x0 = model.projection.weight @ fields_of(model, concepts).flatten() + model.projection.bias
        x, cross = x0, model.cross
        for layer in range(2):
            if name == "dcn":
                x = x0 * (x @ cross.weights[layer] + cross.biases[layer]) + x
                continue
            shares, mixed = torch.softmax(x @ cross.gates[layer], 0), torch.zeros(())
            for i in range(2):
                unit = torch.tanh(torch.tanh(x @ cross.down[layer][i]) @ cross.core[layer][i])
                mixed = mixed + shares[i] * (x0 * (unit @ cross.up[layer][i] + cross.biases[layer]))
            x = mixed + x
        hidden = torch.cat([x, mlp(model.deep, 0, x0)])
        torch.testing.assert_close(logits[row], hidden @ model.towers.last + model.towers.bias)


def test_a_field_with_all_its_concepts_masked_is_as_if_it_were_empty() -> None:
    model = make("dcn", [[0, 3, 6]], 7, [1])
    with_field, without = {0: 1.0, 3: 2.0, 4: 1.0}, {4: 1.0}
    logits = model(make_batch([with_field, without], None, 1))
    torch.testing.assert_close(logits[0], logits[1])


def test_every_concept_can_be_a_field() -> None:
    model = make("dcn concepts", [[]], 7, [1])
    assert model.projection.in_features == 7 * model.embedding_dim
    logits = model(make_batch(ROWS, None, 1))
    for row, concepts in enumerate(ROWS):
        x = torch.zeros(7, model.embedding_dim).double()
        for concept, weight in concepts.items():
            x[concept] = weight * model.embedding.weight[concept] / (1 + weight) ** 0.5
        x0 = x.flatten() @ model.projection.weight.t() + model.projection.bias
        crossed = x0
        for weight, bias in zip(model.cross.weights, model.cross.biases, strict=True):
            crossed = x0 * (crossed @ weight + bias) + crossed
        hidden = torch.cat([crossed, mlp(model.deep, 0, x0)])
        torch.testing.assert_close(logits[row], hidden @ model.towers.last + model.towers.bias)


def test_a_large_vocabulary_is_not_a_field_a_concept() -> None:
    with pytest.raises(ValueError, match="up to 1024, not 2000"):
        make("dcn concepts", [[]], 2000, [1])
