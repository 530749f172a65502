"""Chains of tasks: links, the product of factors, entire and local spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.batch import Batch
from models.chains import Chains
from models.task import Task
from tests.models.examples import make_batch

TASKS = [Task(name=name) for name in "abcde"]


def labelled(labels: dict[tuple[int, int], int]) -> Batch:
    """A batch of 4 rows with these (row, task): label."""
    pairs = sorted(labels)
    batch = make_batch([{}] * 4, pairs, len(TASKS))
    return replace(batch, labels=torch.tensor([float(labels[pair]) for pair in pairs]))


def as_labels(batch: Batch) -> dict[tuple[int, int], int]:
    pairs = zip(batch.pair_rows.tolist(), batch.pair_tasks.tolist(), strict=True)
    return dict(zip(pairs, map(int, batch.labels.tolist()), strict=True))


@pytest.mark.parametrize(
    ("chains", "message"),
    [
        ([[0]], "at least 2 tasks"),
        ([[0, 1, 0]], "twice"),
        ([[0, 1], [1, 2]], "twice"),
        ([[0, 9]], "task 9 of 6"),
        ([[0, 5]], "task colour is multiclass"),
    ],
)
def test_chains_that_make_no_sense_are_refused(chains: Sequence[Sequence[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Chains(chains, [*TASKS, Task(name="colour", kind="multiclass", outputs=3)])


def test_linked_pairs_are_of_rows_with_both_tasks() -> None:
    batch = labelled({(0, 3): 1, (0, 1): 1, (0, 4): 0, (1, 1): 1, (2, 3): 0, (2, 4): 0, (3, 0): 1})
    before, later = Chains([[3, 1], [0, 4]], TASKS).linked_pairs(batch)
    found = {
        (int(batch.pair_rows[i]), int(batch.pair_tasks[i]), int(batch.pair_rows[j]), int(batch.pair_tasks[j]))
        for i, j in zip(before, later, strict=True)
    }
    assert found == {(0, 3, 0, 1)}


def test_factors_multiply_along_a_chain() -> None:
    logits = torch.randn(50, 5, dtype=torch.float64) * 3
    entire = Chains([[3, 1, 4]], TASKS).entire_logits(logits, torch.arange(5))
    p = logits.sigmoid()
    expected = p.clone()
    expected[:, 1] = p[:, 3] * p[:, 1]
    expected[:, 4] = p[:, 3] * p[:, 1] * p[:, 4]
    torch.testing.assert_close(entire.sigmoid(), expected)
    assert (expected[:, 4] <= expected[:, 1]).all()


def test_the_product_is_finite_for_extreme_factors() -> None:
    logits = torch.tensor([[200.0, 200], [-200, -200], [200, -200], [0, 200]], requires_grad=True)
    entire = Chains([[0, 1]], TASKS[:2]).entire_logits(logits, torch.arange(2))
    entire.sum().backward()
    assert torch.isfinite(entire).all()
    assert torch.isfinite(logits.grad).all()


labels = st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 4)), st.integers(0, 1))


@given(labels)
def test_the_entire_space_holds_what_a_step_that_did_not_happen_implies(given_labels: dict) -> None:
    expected = dict(given_labels)
    for row in range(4):
        for before, later in ((3, 1), (1, 4), (0, 2)):
            if expected.get((row, before)) == 0:
                expected.setdefault((row, later), 0)
    found = Chains([[3, 1, 4], [0, 2]], TASKS).in_entire_space(labelled(given_labels))
    assert as_labels(found) == expected
    keys = found.pair_rows * 5 + found.pair_tasks
    assert (keys[1:] > keys[:-1]).all()


@given(labels)
def test_the_local_space_leaves_out_rows_where_the_step_before_did_not_happen(given_labels: dict) -> None:
    links = {1: 3, 4: 1, 2: 0}
    expected = {
        (row, task): label
        for (row, task), label in given_labels.items()
        if not (task in links and given_labels.get((row, links[task])) == 0)
    }
    found = Chains([[3, 1, 4], [0, 2]], TASKS).in_local_space(labelled(given_labels))
    assert as_labels(found) == expected
