"""What every model of the registry must offer: exact masks, all kinds of task, priors, units, gradients, weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.batch import Batch
from models.hiding import hide
from models.losses import pair_losses
from models.masks import TaskMasks
from models.registry import MODELS
from models.task import Task
from tests.models.examples import make_batch
from tests.models.zoo import CASES, build, make

VOCABULARY = 7
ROWS = [{0: 1.0, 3: 0.5, 5: 2.0}, {1: 1.0}, {}, {2: 0.25, 3: 1.0, 4: 1.0, 6: 0.5}]
MASKS = [[3], [], [3, 4], [0, 1, 2, 3, 4, 5, 6], [3], [1, 6]]
OUTPUTS = [1, 1, 3, 1, 1, 2]
every_model = pytest.mark.parametrize("name", sorted(CASES))


def test_the_cases_are_the_registry() -> None:
    assert {name.split()[0] for name in CASES} == set(MODELS)


def one_row_a_pair(batch: Batch, masks: list[list[int]]) -> Batch:
    """Each pair as a row of its own, without the concepts of its task's mask."""
    rows, offsets = [], batch.row_offsets.tolist()
    for row, task in zip(batch.pair_rows.tolist(), batch.pair_tasks.tolist(), strict=True):
        entries = range(offsets[row], offsets[row + 1])
        of_row = {int(batch.concept_ids[i]): float(batch.concept_weights[i]) for i in entries}
        rows.append({concept: weight for concept, weight in of_row.items() if concept not in masks[task]})
    return make_batch(rows, list(enumerate(batch.pair_tasks.tolist())), len(masks))


def gradients(model: Any, logits: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    (
        torch.linspace(0.5, 1.5, logits.numel(), dtype=logits.dtype).view(logits.shape) * torch.tanh(logits)
    ).sum().backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.to_dense().clone()
        for name, p in model.named_parameters()
    }


@every_model
@pytest.mark.parametrize("linear_term", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("pairs", [None, [(0, 0), (0, 2), (0, 4), (2, 1), (3, 2), (3, 3), (3, 5)]], ids=["all", "some"])
def test_a_task_never_sees_its_masked_concepts(name: str, linear_term: bool, sparse: bool, pairs: Any) -> None:
    """Logits and gradients are those of one pass a pair from which the masked concepts were taken."""
    model = make(name, MASKS, VOCABULARY, OUTPUTS, linear_term=linear_term, sparse_embeddings=sparse)
    batch = make_batch(ROWS, pairs, len(MASKS))
    together, alone = model(batch), model(one_row_a_pair(batch, MASKS))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-10)
    expected = gradients(model, alone)
    for parameter, gradient in gradients(model, model(batch)).items():
        torch.testing.assert_close(gradient, expected[parameter], rtol=0, atol=1e-10, msg=parameter)


@every_model
def test_every_parameter_moves(name: str) -> None:
    model = make(name, MASKS, VOCABULARY, OUTPUTS, linear_term=True, auxiliary=VOCABULARY, dropout=0.1).train()
    rows = [{int(c): 1.0 for c in torch.randperm(VOCABULARY)[: 1 + i % 5]} for i in range(60)]
    batch = make_batch(rows, None, len(MASKS))
    logits, presence = model.forward_with_auxiliary(batch)
    loss = pair_losses(logits, batch, model.tasks).sum() + presence.square().sum()
    (loss + model.extra_loss(batch, logits)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_model
def test_tasks_of_all_kinds_train_together(name: str) -> None:
    torch.manual_seed(1)
    kinds = [
        Task(name="a"),
        Task(name="b"),
        Task(name="c", kind="multiclass", outputs=3),
        Task(name="d", kind="regression"),
    ]
    fields = torch.arange(VOCABULARY) % 3
    masks = TaskMasks([[0], [1], [2], []], VOCABULARY)
    model = build(name, kinds, masks, fields, embedding_std=1.0)
    batch = make_batch(ROWS, None, 4)
    labels = torch.tensor([1.0, 1, 2, -1, 0, 0, 1, 2, 1, 0, 0, 0, 1, 1, 1, 1])
    batch = replace(batch, labels=labels)
    before = pair_losses(model(batch), batch, kinds)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(200):
        optimizer.zero_grad()
        pair_losses(model(batch), batch, kinds).sum().backward()
        optimizer.step()
    after = pair_losses(model(batch), batch, kinds)
    for task in range(4):
        of_task = batch.pair_tasks == task
        assert after[of_task].sum() < 0.6 * before[of_task].sum(), kinds[task].name


@every_model
def test_outputs_start_from_the_prevalence_and_end_in_their_own_units(name: str) -> None:
    kinds = [
        Task(name="a"),
        Task(name="b"),
        Task(name="c", kind="multiclass", outputs=2),
        Task(name="d", kind="regression"),
    ]
    masks = TaskMasks([[]] * 4, VOCABULARY)
    torch.manual_seed(0)
    fields = torch.arange(VOCABULARY) % 3
    model = build(name, kinds, masks, fields, linear_term=True).double()
    with torch.no_grad():
        model.towers.last.zero_()
    priors = torch.tensor([0.4, 0.1, 0.3, 0.7, 0.5])
    model.start_from_priors(priors)
    batch = make_batch(ROWS, None, 4)
    logits = model(batch).view(4, 4, -1)
    torch.testing.assert_close(logits[:, 0, 0].sigmoid(), torch.full((4,), 0.4).double())
    torch.testing.assert_close(logits[:, 1, 0].sigmoid(), torch.full((4,), 0.1).double())
    torch.testing.assert_close(logits[:, 2, :2].softmax(1)[0], torch.tensor([0.3, 0.7]).double())
    torch.testing.assert_close(logits[:, 3, 0], torch.full((4,), 0.5).double())
    with torch.no_grad():
        model.towers.last.normal_()
        model.linear.weight.normal_()
    before = model(batch).view(4, 4, -1)
    model.scale_outputs(torch.tensor([1.0, 1, 1, 1, 20]), torch.tensor([0.0, 0, 0, 0, 7]))
    after = model(batch).view(4, 4, -1)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    torch.testing.assert_close(after[:, 3, 0], 20 * before[:, 3, 0] + 7)


@every_model
def test_weights_travel_with_masks(name: str) -> None:
    model, other = (make(name, MASKS, VOCABULARY, OUTPUTS, auxiliary=2) for _ in range(2))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.normal_()
    batch = make_batch(ROWS, None, len(MASKS))
    assert not torch.equal(model(batch), other(batch))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(batch), other(batch))
    assert {"masks.mask_concepts", "masks.task_mask", "fields", "auxiliary_concepts"} <= set(model.state_dict())


@every_model
def test_no_rows_and_no_pairs_give_no_logits(name: str) -> None:
    model = make(name, MASKS, VOCABULARY, OUTPUTS, auxiliary=2)
    assert len(model(make_batch([], [], len(MASKS)))) == 0
    logits, presence = model.forward_with_auxiliary(make_batch(ROWS, [], len(MASKS)))
    assert len(logits) == 0
    assert presence.shape == (4, 2)


@pytest.mark.parametrize("name", sorted(name for name in CASES if "chains" not in CASES[name]))
def test_one_task_alone_works(name: str) -> None:
    model = make(name, [[3]], VOCABULARY, [1])
    assert model(make_batch(ROWS, None, 1)).shape == (4, 1)


@every_model
def test_bfloat16_gives_about_the_same(name: str) -> None:
    torch.manual_seed(0)
    model = make(name, MASKS, VOCABULARY, OUTPUTS).float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    batch, _ = hide(make_batch(ROWS, None, len(MASKS)), 0.5, torch.Generator().manual_seed(0))
    exact = model(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(batch)
        rough.square().sum().backward()
    assert rough.dtype == torch.float32
    torch.testing.assert_close(exact, rough, rtol=0.1, atol=0.1)


@every_model
def test_pairs_out_of_order_are_refused(name: str) -> None:
    batch = make_batch(ROWS, [(0, 0), (0, 1)], len(MASKS))
    with pytest.raises(ValueError, match="sorted"):
        make(name, MASKS, VOCABULARY, OUTPUTS)(replace(batch, pair_tasks=torch.tensor([1, 0])))
