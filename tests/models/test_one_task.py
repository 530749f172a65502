"""A task's gate and tower apart from the others'."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.one_task import OneTask
from tests.models.examples import make_batch, make_model

ROWS = [{0: 1.0, 3: 0.5, 5: 2.0}, {1: 1.0}, {}, {2: 0.25, 3: 1.0, 4: 1.0, 6: 0.5}]
MASKS = [[3], [], [3, 4], [0, 1, 2, 3, 4, 5, 6]]
OUTPUTS = [1, 3, 1, 1]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"gate_hidden": 0, "tower_hidden": 0, "crosses": 2},
    {"gate_hidden": 0, "gate_input": False, "shared_outputs": 3, "linear_term": True},
]


def model_of(settings: dict[str, Any]):
    torch.manual_seed(0)
    model = make_model(MASKS, 7, OUTPUTS, **settings)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("task", [0, 2, 3])
def test_gives_the_logits_of_the_whole_model(settings: dict[str, Any], task: int) -> None:
    model, batch = model_of(settings), make_batch(ROWS, [(row, task) for row in range(4)], 4)
    torch.testing.assert_close(OneTask(model, task)(model.task_inputs(batch)), model(batch)[:, 0])


@pytest.mark.parametrize("settings", SETTINGS)
def test_written_back_it_moves_its_task_and_no_other(settings: dict[str, Any]) -> None:
    model, every = model_of(settings), make_batch(ROWS, None, 4)
    before, own = model(every).detach(), OneTask(model, 2)
    for parameter in own.parameters():
        parameter.data.add_(1)
    torch.testing.assert_close(model(every), before, rtol=0, atol=0)
    own.write_to(model)
    after, mine = model(every).detach(), every.pair_tasks == 2
    torch.testing.assert_close(after[~mine], before[~mine], rtol=0, atol=0)
    batch = make_batch(ROWS, [(row, 2) for row in range(4)], 4)
    torch.testing.assert_close(own(model.task_inputs(batch)), after[mine, 0])
    assert (after[mine, 0] != before[mine, 0]).all()


def test_a_task_of_several_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match="task1 has 3 outputs"):
        OneTask(model_of({}), 1)
