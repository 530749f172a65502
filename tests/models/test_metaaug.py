"""MetaAug as a whole; tests/models/test_mask_trick.py holds it against the naive form."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from models.hiding import hide
from models.losses import pair_losses
from models.masks import TaskMasks
from models.metaaug import MetaAug
from models.task import Task
from tests.models.examples import SMALL, make_batch, make_model

GOLDEN_LOGITS = [
    0.78063,
    0.43068,
    -0.89917,
    0.0,
    0.49231,
    0.21188,
    -0.13321,
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
    0.05963,
    -0.01408,
    0.21025,
    0.0,
]
GOLDEN_AUXILIARY = [0.13383, -0.07155, -0.41513]
ROWS = [{0: 1.0, 3: 0.5, 5: 2.0}, {1: 1.0}, {}, {2: 0.25, 3: 1.0, 4: 1.0, 6: 0.5}]
MASKS = [[3], [], [3, 4], [0, 1, 2, 3, 4, 5, 6]]


def test_a_seeded_model_gives_the_numbers_it_always_gave() -> None:
    torch.manual_seed(7)
    model = make_model(MASKS, 7, linear_term=True, auxiliary=3, embedding_std=1.0)
    torch.nn.init.normal_(model.linear.weight)
    logits, auxiliary = model.forward_with_auxiliary(make_batch(ROWS, None, 4))
    torch.testing.assert_close(logits.flatten().detach(), torch.tensor(GOLDEN_LOGITS), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(auxiliary[0].detach(), torch.tensor(GOLDEN_AUXILIARY), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("crosses", [0, 2])
@pytest.mark.parametrize("tower_hidden", [0, 4])
@pytest.mark.parametrize("gate_hidden", [0, 3])
def test_gradient_reaches_every_parameter(gate_hidden: int, tower_hidden: int, crosses: int) -> None:
    torch.manual_seed(0)
    sizes = {"gate_hidden": gate_hidden, "tower_hidden": tower_hidden, "crosses": crosses}
    model = make_model(MASKS, 7, linear_term=True, auxiliary=7, dropout=0.1, **sizes)
    logits, auxiliary = model.forward_with_auxiliary(make_batch(ROWS * 20, None, 4))
    (logits.square().sum() + auxiliary.square().sum()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_a_masked_concept_changes_nothing_for_its_task() -> None:
    model = make_model(MASKS, 7, linear_term=True)
    torch.nn.init.normal_(model.linear.weight)
    with_concept, without = {1: 1.0, 3: 2.0}, {1: 1.0}
    logits = model(make_batch([with_concept, without], None, 4)).view(2, 4)
    torch.testing.assert_close(logits[0, [0, 2, 3]], logits[1, [0, 2, 3]])
    assert not torch.isclose(logits[0, 1], logits[1, 1])


def test_tasks_of_all_kinds_train_together() -> None:
    torch.manual_seed(0)
    tasks = [
        Task(name="buyer"),
        Task(name="colour", kind="multiclass", outputs=3),
        Task(name="age", kind="regression"),
    ]
    model = MetaAug(tasks, TaskMasks([[0], [1], []], 7), torch.zeros(7, dtype=torch.int64), **SMALL)
    batch = make_batch(ROWS, None, 3)
    batch = replace(batch, labels=torch.tensor([1.0, 2, 3, 0, 0, -2, 1, 1, 0, 0, 2, 1]))
    logits = model(batch)
    assert logits.shape == (12, 3)
    assert not logits[batch.pair_tasks != 1, 1:].any()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    before = pair_losses(logits, batch, tasks)
    for _ in range(60):
        optimizer.zero_grad()
        pair_losses(model(batch), batch, tasks).sum().backward()
        optimizer.step()
    after = pair_losses(model(batch), batch, tasks)
    for task in range(3):
        of_task = batch.pair_tasks == task
        assert after[of_task].sum() < 0.5 * before[of_task].sum()


def test_few_pairs_give_the_logits_they_have_among_all() -> None:
    model = make_model([[i % 7] for i in range(40)], 7)
    every = model(make_batch(ROWS, None, 40)).view(-1, 40)
    few = make_batch(ROWS, [(0, 3), (0, 10), (1, 39), (3, 2)], 40)
    torch.testing.assert_close(model(few)[:, 0], every[few.pair_rows, few.pair_tasks])


def test_outputs_start_from_the_prevalence() -> None:
    tasks = [
        Task(name="buyer"),
        Task(name="colour", kind="multiclass", outputs=2),
        Task(name="age", kind="regression"),
    ]
    model = MetaAug(tasks, TaskMasks([[]] * 3, 7), torch.zeros(7, dtype=torch.int64), **SMALL)
    model.start_from_priors(torch.tensor([0.1, 0.3, 0.7, 42.0]))
    expected = torch.tensor([math.log(1 / 9), math.log(0.3), math.log(0.7), 42.0])
    torch.testing.assert_close(model.towers.bias.detach(), expected)
    model.start_from_priors(torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert torch.isfinite(model.towers.bias).all()
    with pytest.raises(ValueError, match="priors"):
        model.start_from_priors(torch.tensor([0.1]))


def test_gate_weights_are_shares_of_the_experts() -> None:
    model = make_model(MASKS, 7)
    weights = model.gate_weights(make_batch(ROWS, None, 4))
    assert weights.shape == (4, 3, 4)
    torch.testing.assert_close(weights.sum(1), torch.ones(4, 4))


@pytest.mark.parametrize("linear_term", [False, True])
def test_sparse_gradients_hold_what_dense_ones_do(linear_term: bool) -> None:
    batch = make_batch(ROWS, None, 4)
    found = []
    for sparse in (False, True):
        torch.manual_seed(0)
        model = make_model(MASKS, 7, sparse_embeddings=sparse, linear_term=linear_term)
        model(batch).square().sum().backward()
        tables = [model.embedding.weight] + ([model.linear.weight] if linear_term else [])
        assert all(table.grad.is_sparse == sparse for table in tables)
        found.append([table.grad.to_dense() for table in tables])
    for dense, sparse_gradient in zip(*found, strict=True):
        torch.testing.assert_close(dense, sparse_gradient)


@pytest.mark.parametrize("pairs", [[(0, 0), (0, 0)], [(1, 0), (0, 0)], [(0, 1), (0, 0)]])
def test_pairs_out_of_order_are_refused(pairs: list[tuple[int, int]]) -> None:
    batch = make_batch(ROWS, [(0, 0), (0, 1)], 4)
    rows, tasks = (torch.tensor(column) for column in zip(*pairs, strict=True))
    with pytest.raises(ValueError, match="sorted"):
        make_model(MASKS, 7)(replace(batch, pair_rows=rows, pair_tasks=tasks))


def test_no_rows_give_no_logits() -> None:
    model = make_model(MASKS, 7, linear_term=True, auxiliary=2)
    empty = make_batch([], [], 4)
    assert model(empty).shape == (0, 1)
    assert model.forward_with_auxiliary(empty)[1].shape == (0, 2)


def test_auxiliary_heads_see_the_plain_rows_only() -> None:
    model = make_model(MASKS, 7, auxiliary=4)
    assert model.auxiliary_concepts.tolist() == [0, 1, 2, 3]
    batch = make_batch(ROWS, None, 4)
    unlabelled = make_batch(ROWS, [], 4)
    auxiliary = model.forward_with_auxiliary(batch)[1]
    assert auxiliary.shape == (4, 4)
    torch.testing.assert_close(auxiliary, model.forward_with_auxiliary(unlabelled)[1])
    with pytest.raises(ValueError, match="no auxiliary tasks"):
        make_model(MASKS, 7).forward_with_auxiliary(batch)


def test_weights_travel_with_masks() -> None:
    model, other = make_model(MASKS, 7, auxiliary=2), make_model(MASKS, 7, auxiliary=2)
    batch = make_batch(ROWS, None, 4)
    assert not torch.equal(model(batch), other(batch))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(batch), other(batch))
    assert {"masks.mask_concepts", "masks.task_mask", "fields", "auxiliary_concepts"} <= set(model.state_dict())


def test_bfloat16_gives_about_the_same() -> None:
    torch.manual_seed(0)
    model = make_model(MASKS, 7, linear_term=True, auxiliary=3)
    batch, _ = hide(make_batch(ROWS, None, 4), 0.5, torch.Generator().manual_seed(0))
    exact = model.forward_with_auxiliary(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model.forward_with_auxiliary(batch)
        rough[0].square().sum().backward()
    for a, b in zip(exact, rough, strict=True):
        assert b.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0.1, atol=0.05)
    assert torch.isfinite(model.towers.first.grad).all()


def test_masks_and_fields_must_fit() -> None:
    tasks, fields = [Task(name="a")], torch.zeros(7, dtype=torch.int64)
    with pytest.raises(ValueError, match="masks for 2"):
        MetaAug(tasks, TaskMasks([[], []], 7), fields, **SMALL)
    with pytest.raises(ValueError, match="fields of 7"):
        MetaAug(tasks, TaskMasks([[]], 8), fields, **SMALL)


def test_gates_without_input_weigh_the_experts_the_same_for_every_row() -> None:
    torch.manual_seed(0)
    model = make_model(MASKS, 7, gate_input=False, gate_hidden=0)
    torch.nn.init.normal_(model.gates.last_bias)
    weights = model.gate_weights(make_batch(ROWS, None, 4))
    torch.testing.assert_close(weights, weights[:1].expand_as(weights))
    torch.testing.assert_close(weights[0].t(), torch.softmax(model.gates.last_bias, 1))


def test_shared_outputs_bound_the_rank_of_all_tasks() -> None:
    torch.manual_seed(0)
    model = make_model([[]] * 5, 7, shared_outputs=2, gate_input=False, gate_hidden=0, tower_hidden=0, experts=1)
    rows = [{int(c): float(w) for c, w in zip(torch.randperm(7)[:3], torch.rand(3), strict=True)} for _ in range(30)]
    logits = model(make_batch(rows, None, 5)).view(-1, 5).double()
    assert torch.linalg.matrix_rank(logits - logits.mean(0), atol=1e-5) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"shared_outputs": -1}, "shared_outputs is at least 0"), ({"gate_input": False}, "gate_hidden is 0 where")],
)
def test_shared_settings_that_make_no_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_model(MASKS, 7, **settings)
