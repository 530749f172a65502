"""Parts of MetaAug on their own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.layers.distinct import first_alike
from models.layers.dropout import Dropout, random_int16
from models.layers.experts import Experts
from models.layers.gates import Gates
from models.layers.groups import TaskGroups
from models.layers.hits import find_hits
from models.layers.weighed import weighed_sums
from models.masks import TaskMasks
from tests.models.examples import make_batch


def test_dropout_zeroes_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(1001, 333)
    out = Dropout(0.4)(x)
    assert (out == 0).float().mean() == pytest.approx(0.4, abs=0.005)
    assert out.mean() == pytest.approx(1, abs=0.01)
    assert out.unique().numel() == 2


def test_dropout_does_nothing_in_evaluation_or_at_0() -> None:
    x = torch.randn(5, 3)
    assert Dropout(0.0)(x) is x
    assert Dropout(0.5).eval()(x) is x
    with pytest.raises(ValueError, match="dropout"):
        Dropout(1.0)


def test_random_int16_covers_its_range_evenly() -> None:
    draws = random_int16(40_001, torch.device("cpu"), torch.Generator().manual_seed(0)).float()
    assert draws.numel() == 40_001
    assert draws.mean() == pytest.approx(0, abs=500)
    assert draws.std() == pytest.approx(65536 / 12**0.5, rel=0.01)


@given(st.lists(st.integers(0, 6), max_size=300))
def test_groups_bring_each_pair_to_its_task_and_back(tasks: list[int]) -> None:
    tensor = torch.tensor(tasks, dtype=torch.int64)
    groups = TaskGroups(tensor, task_count=7)
    values = torch.arange(len(tasks)).unsqueeze(1)
    spread = groups.spread(values)
    assert torch.equal(groups.collect(spread), values)
    own = groups.collect(groups.block_tasks[:, None, None].expand(spread.shape))
    assert torch.equal(own.squeeze(1), tensor)
    assert groups.blocks * groups.size <= len(tasks) + 7 * groups.size


def test_experts_are_residual_streams() -> None:
    torch.manual_seed(0)
    experts = Experts(experts=2, layers=2, input_width=3, width=3, dropout=0.0)
    x = torch.randn(4, 3)
    for e in range(2):
        first = x + torch.relu(x @ experts.weights[0][e])
        second = first + torch.relu(first @ experts.weights[1][e])
        torch.testing.assert_close(experts(x)[e], second)


@pytest.mark.parametrize("hidden", [0, 5])
def test_gates_are_the_same_for_all_tasks_at_once_and_pair_by_pair(hidden: int) -> None:
    torch.manual_seed(0)
    gates = Gates(tasks=4, experts=3, input_width=6, hidden=hidden)
    x = torch.randn(5, 6)
    every = gates.all_tasks(x)
    torch.testing.assert_close(every.sum(0), torch.ones(4, 5))
    views, tasks = torch.tensor([0, 4, 2, 2]), torch.tensor([3, 0, 1, 1])
    pairs = gates.of_pairs(x, views, TaskGroups(tasks, 4))
    torch.testing.assert_close(pairs, every[:, tasks, views].T)


def test_weighed_sums_are_the_gated_experts_of_each_pair_with_their_gradients() -> None:
    experts = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    gates = torch.rand(6, 3, dtype=torch.float64, requires_grad=True)
    views = torch.tensor([4, 0, 0, 2, 4, 1])
    by_hand = [sum(gates[pair, e] * experts[e, view] for e in range(3)) for pair, view in enumerate(views.tolist())]
    torch.testing.assert_close(weighed_sums(experts, gates, views), torch.stack(by_hand))
    assert torch.autograd.gradcheck(lambda e, g: weighed_sums(e, g, views), (experts, gates))


def test_hits_are_one_view_a_distinct_row_and_hidden_concepts() -> None:
    masks = TaskMasks([[9, 12], [4], [], [12, 9]], vocabulary_size=13)  # tasks 0 and 3 share a mask
    batch = make_batch([{4: 1, 9: 1, 12: 1}, {4: 1}, {7: 1, 9: 1}, {7: 1}], [(0, 0), (0, 3), (1, 1), (1, 2)], tasks=4)
    hits = find_hits(batch, masks, batch.pair_rows * 4 + batch.pair_tasks)
    assert hits.view_rows.tolist() == [0, 1]
    assert batch.concept_ids[hits.entries].tolist() == [9, 12, 4]
    assert hits.entry_offsets.tolist() == [0, 2, 3]
    assert hits.pair_positions.tolist() == [0, 1, 2]
    assert hits.pair_views.tolist() == [0, 0, 1]
    assert find_hits(batch, masks, None).view_rows.tolist() == [0, 0, 1, 2]


def test_masks_that_hide_the_same_of_a_row_share_its_view() -> None:
    masks = TaskMasks([[9, 12], [9], [9, 4], [4]], vocabulary_size=13)
    hits = find_hits(make_batch([{4: 1, 9: 1, 12: 1}, {7: 1, 9: 1}, {9: 1}], [], tasks=4), masks, None)
    hidden = [[], [], []]
    batch_concepts = [4, 9, 12, 7, 9, 9]
    for view, row in enumerate(hits.view_rows.tolist()):
        entries = hits.entries[hits.entry_offsets[view] : hits.entry_offsets[view + 1]].tolist()
        tasks = hits.pair_tasks[hits.pair_views == view].tolist()
        hidden[row].append(([batch_concepts[entry] for entry in entries], tasks))
    assert [sorted(of_row) for of_row in hidden] == [
        [([4], [3]), ([4, 9], [2]), ([9], [1]), ([9, 12], [0])],
        [([9], [0, 1, 2])],
        [([9], [0, 1, 2])],
    ]


@given(st.lists(st.sets(st.integers(0, 5), min_size=1), max_size=30))
def test_first_alike_is_the_first_equal_list(sets: list[set[int]]) -> None:
    lists = [sorted(one) for one in sets]
    entries = torch.tensor([entry for one in lists for entry in one], dtype=torch.int64)
    lengths = torch.tensor([len(one) for one in lists], dtype=torch.int64)
    assert first_alike(entries, lengths).tolist() == [lists.index(one) for one in lists]


def test_lists_of_one_sum_that_differ_are_not_taken_for_alike() -> None:
    # Of one sum, as the sum does not tell an order.
    assert first_alike(torch.tensor([1, 2, 2, 1, 1, 2]), torch.tensor([2, 2, 2])).tolist() == [0, 1, 0]
