"""The loss of the masked-concept tasks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.auxiliary import auxiliary_loss
from models.batch import Batch
from models.hiding import HiddenConcepts, hide
from tests.models.examples import make_batch


def auxiliary_targets(visible: Batch, hidden: HiddenConcepts, concepts: int) -> tuple[Tensor, Tensor]:
    """(targets [rows, concepts] float32, counted [rows, concepts] bool): the same examples written out."""
    device = visible.concept_ids.device
    targets = torch.zeros(visible.rows, concepts, device=device)
    is_target = hidden.concept_ids < concepts
    targets[hidden.rows[is_target], hidden.concept_ids[is_target]] = 1
    counted = torch.ones(visible.rows, concepts, dtype=torch.bool, device=device)
    seen = visible.concept_ids < concepts
    counted[visible.row_of_entry()[seen], visible.concept_ids[seen]] = False
    return targets, counted


def test_the_loss_is_the_cross_entropy_over_hidden_and_absent_concepts() -> None:
    torch.manual_seed(0)
    batch = make_batch([dict.fromkeys(range(r % 4, 9, 2), 1.0) for r in range(12)], [], tasks=1)
    visible, hidden = hide(batch, 0.9, torch.Generator().manual_seed(3))
    assert hidden.rows.numel()
    logits = torch.randn(12, 6, dtype=torch.float64, requires_grad=True)  # concepts 6.. are no targets
    targets, counted = auxiliary_targets(visible, hidden, 6)
    expected = F.binary_cross_entropy_with_logits(logits, targets.double(), reduction="none")[counted].mean()
    loss = auxiliary_loss(logits, visible, hidden)
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])
    assert (gradient[~counted] == 0).all()
    assert (gradient[counted] != 0).all()


def test_hidden_is_1_absent_0_visible_not_counted() -> None:
    batch = make_batch([{0: 1.0, 2: 1.0}], [], tasks=1)
    visible, hidden = hide(batch, 1.0, torch.Generator().manual_seed(1))
    targets, counted = auxiliary_targets(visible, hidden, 3)
    for concept in (0, 2):
        is_hidden = concept in hidden.concept_ids
        assert bool(targets[0, concept]) == bool(counted[0, concept]) == is_hidden
    assert not targets[0, 1]
    assert counted[0, 1]


def test_extreme_logits_give_a_finite_loss_and_gradient() -> None:
    batch = make_batch([{0: 1.0, 1: 1.0}], [], tasks=1)
    visible, hidden = hide(batch, 0.0)
    logits = torch.tensor([[1e4, -1e4, 1e4, -1e4]], requires_grad=True)
    loss = auxiliary_loss(logits, visible, hidden)
    loss.backward()
    assert loss == 5e3
    assert torch.isfinite(logits.grad).all()


def test_nothing_counted_is_a_loss_of_0() -> None:
    batch = make_batch([{0: 1.0}], [], tasks=1)
    visible, hidden = hide(batch, 0.0)
    assert auxiliary_loss(torch.ones(1, 1), visible, hidden) == 0
