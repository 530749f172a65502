"""Hiding concepts, alone and with what gives them away."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.hiding import hide
from models.implications import Implications
from tests.models.examples import make_batch

vectors = st.lists(st.dictionaries(st.integers(0, 9), st.floats(0.5, 2, width=16)), min_size=1, max_size=5)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None)
@given(vectors, st.floats(0, 1), st.integers(0, 5), st.booleans())
def test_every_concept_is_either_visible_or_hidden(
    rows: list[dict[int, float]], share: float, seed: int, implied: bool
) -> None:
    batch = make_batch(rows, [(0, 0)], tasks=1)
    implications = Implications({0: [1, 2], 3: [1]}, 10) if implied else None
    visible, hidden = hide(batch, share, generator(seed), implications)
    left = list(zip(visible.row_of_entry().tolist(), visible.concept_ids.tolist(), strict=True))
    taken = list(zip(hidden.rows.tolist(), hidden.concept_ids.tolist(), strict=True))
    assert sorted(left + taken) == [(row, concept) for row, vector in enumerate(rows) for concept in sorted(vector)]
    assert [rows[row][concept] for row, concept in left] == visible.concept_weights.tolist()
    assert torch.equal(visible.labels, batch.labels)
    if implications is not None:  # nothing that is visible implies anything that is hidden
        for concept, implying in {0: [1, 2], 3: [1]}.items():
            rows_without = {row for row, c in taken if c == concept}
            assert not any(row in rows_without and c in implying for row, c in left)


def test_the_share_is_uniform_over_rows() -> None:
    rows, length = 400, 500
    batch = make_batch([dict.fromkeys(range(length), 1.0)] * rows, [], tasks=1)
    visible, hidden = hide(batch, 0.6, generator())
    share = torch.bincount(hidden.rows, minlength=rows) / length
    assert share.mean() == pytest.approx(0.3, abs=0.03)
    assert share.min() < 0.06
    assert 0.54 < share.max() < 0.66
    assert visible.concept_ids.numel() + hidden.concept_ids.numel() == rows * length


def test_what_implies_others_is_hidden_no_more_often() -> None:
    rows = 20_000
    batch = make_batch([{0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0}] * rows, [], tasks=1)
    implications = Implications({0: [2, 3], 1: [2]}, 4)  # 2 implies two others, 3 one
    _, hidden = hide(batch, 0.6, generator(), implications)
    share = torch.bincount(hidden.concept_ids, minlength=4) / rows
    assert share[2] == pytest.approx(0.3, abs=0.01)
    assert share[0] < share[3] < share[2]


def test_no_share_hides_nothing_and_the_same_seed_hides_the_same() -> None:
    batch = make_batch([dict.fromkeys(range(50), 1.0)] * 4, [], tasks=1)
    assert hide(batch, 0.0, generator())[1].concept_ids.numel() == 0
    first, second, other = (hide(batch, 0.9, generator(seed))[1] for seed in (1, 1, 2))
    assert torch.equal(first.concept_ids, second.concept_ids)
    assert not torch.equal(first.concept_ids, other.concept_ids)


def test_a_share_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        hide(make_batch([{}], [], tasks=1), 1.5)
