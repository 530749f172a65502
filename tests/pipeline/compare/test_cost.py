"""What a model costs, counted by hand; Table 1's relative columns, against the paper's own."""

from __future__ import annotations

import pytest
import torch

from models.batch import Batch
from pipeline.compare.cost import measure_cost, peak_bytes
from pipeline.compare.relative import overall, relative_changes
from tests.models.examples import make_batch
from tests.models.zoo import CASES, make

ROWS = [{0: 1.0, 3: 0.5, 5: 2.0}, {1: 1.0}, {4: 2.0, 6: 1.0}]


def test_operations_and_parameters_are_those_of_the_network() -> None:
    """Shared-Bottom of 6 -> 5 -> 4 with towers of 3 units: each weight is met once a row, two operations each."""
    model = make("shared_bottom", [[]] * 2, 7, [1, 1])
    cost = measure_cost(model, make_batch(ROWS, [], 2), 2)
    weights = 6 * 5 + 5 * 4 + 2 * 4 * 3
    biases = 5 + 4 + 2 * 3 + 2
    assert cost.network_parameters == weights + biases + 2 * 3  # the towers' last layer is no matrix product
    assert cost.parameters == cost.network_parameters + 7 * 6
    assert cost.flops_per_row == 2 * weights
    assert cost.training_bytes > cost.scoring_bytes > 0
    assert cost.row_microseconds > 0
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_model_is_measured(name: str) -> None:
    cost = measure_cost(make(name, [[]] * 3, 7, [1, 1, 1]), make_batch(ROWS, [], 3), 3)
    assert all(value > 0 for value in cost.facts().values())


def test_the_peak_is_what_is_held_at_a_time() -> None:
    def work() -> None:
        for _ in range(3):
            kept = torch.zeros(1000)
            del kept
        both = torch.zeros(1000), torch.zeros(500)
        del both

    assert 6000 <= peak_bytes(work) < 6400


def test_overall_is_the_papers_sum() -> None:
    """The paper's Table 1, a9a: PLE and ESSM against WDL."""
    names = ("accuracy", "auc", "f1", "kappa", "log_loss_on_decisions")
    wdl, ple, essm = (
        dict(zip(names, ([value] for value in values), strict=True))
        for values in (
            (0.8227, 0.8687, 0.5122, 0.4156, 6.1224),
            (0.8405, 0.8913, 0.6165, 0.5181, 5.5094),
            (0.8148, 0.8774, 0.4289, 0.3448, 6.3961),
        )
    )
    assert relative_changes(ple, wdl)["f1"] == pytest.approx(0.2036, abs=1e-4)
    assert overall(relative_changes(ple, wdl)) == pytest.approx(0.5980, abs=2e-4)
    assert overall(relative_changes(essm, wdl)) == pytest.approx(-0.3773, abs=2e-4)


def test_products_of_attention_are_operations_too() -> None:
    """Queries with keys, and weights with values: 2 x 2 x heads x queries x keys x width."""

    class Attends(torch.nn.Module):
        def forward(self, batch: Batch) -> torch.Tensor:
            read = torch.ones(batch.rows, 2, 5, 4, requires_grad=True)
            return torch.nn.functional.scaled_dot_product_attention(read, read, read)

    cost = measure_cost(Attends(), make_batch(ROWS, [], 2), 2)
    assert cost.flops_per_row == 2 * (2 * 2 * 5 * 5 * 4)
