"""Ensembles: several models of one kind, averaged."""

from __future__ import annotations

import torch

from models.ensemble import Ensemble, members_of
from models.masks import TaskMasks
from models.registry import build_model
from models.task import Task
from tests.models.examples import make_batch

SIZES = {"embedding_dim": 4, "experts": 2, "expert_layers": 1, "expert_width": 4, "gate_hidden": 0, "tower_hidden": 0}
ROWS = [{0: 1.0, 2: 0.5}, {1: 1.0}, {0: 1.0, 1: 2.0, 3: 1.0}]


def ensemble(members: int) -> torch.nn.Module:
    tasks = [Task(name="a"), Task(name="b", kind="regression")]
    return build_model("metaaug", tasks, TaskMasks([[0], []], 4), torch.zeros(4, dtype=torch.int64), SIZES, members)


def test_logits_are_the_mean_of_members_that_differ() -> None:
    model, batch = ensemble(3), make_batch(ROWS, None, 2)
    each = torch.stack([member(batch) for member in members_of(model)])
    torch.testing.assert_close(model(batch), each.mean(0))
    assert (each[0] != each[1]).any()
    assert (each[1] != each[2]).any()


def test_gates_share_out_the_experts_of_all_members() -> None:
    weights = ensemble(3).gate_weights(make_batch(ROWS, None, 2))
    assert weights.shape == (3, 6, 2)
    torch.testing.assert_close(weights.sum(1), torch.ones(3, 2))


def test_members_without_gates_make_an_ensemble_without() -> None:
    assert getattr(Ensemble([torch.nn.Linear(1, 1)]), "gate_weights", None) is None


def test_scaling_the_outputs_scales_the_mean() -> None:
    model, batch = ensemble(2), make_batch(ROWS, None, 2)
    before = model(batch)
    model.scale_outputs(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 5.0]))
    expected = torch.where(batch.pair_tasks[:, None] == 1, before * 3 + 5, before)
    torch.testing.assert_close(model(batch), expected)


def test_one_member_is_the_model_itself() -> None:
    assert not isinstance(ensemble(1), Ensemble)
    assert members_of(ensemble(1))[0].tasks[0].name == "a"
