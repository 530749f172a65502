"""Which concepts give others away."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.implications import Implications, find_implications
from models.sparse import csr_matrix


def csr(dense: Tensor) -> Tensor:
    rows, columns = dense.nonzero(as_tuple=True)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(rows, minlength=len(dense)).cumsum(0)])
    return csr_matrix(offsets, columns, dense[rows, columns], (dense.shape[0], dense.shape[1]))


def test_a_category_is_implied_by_its_items_and_not_by_chance() -> None:
    torch.manual_seed(0)
    rows = 400
    has = torch.zeros(rows, 6, dtype=torch.bool)
    has[:, 0] = torch.rand(rows) < 0.97  # nearly everyone's: in all rows of rare concepts by chance
    has[:, 3] = torch.rand(rows) < 0.2  # two items of category 1
    has[:, 4] = torch.rand(rows) < 0.1
    has[:, 1] = has[:, 3] | has[:, 4]
    has[:, 2] = torch.rand(rows) < 0.3
    rare = has[:, 0].nonzero()[:3, 0]
    has[rare, 5] = True
    matrix = csr(has.float())
    found = find_implications(matrix, targets=3)
    assert found.offsets.diff().tolist() == [0, 2, 0, 0, 0, 0]
    assert found.implying.tolist() == [3, 4]
    assert found.largest == 1


def test_only_targets_are_looked_at() -> None:
    matrix = csr(torch.tensor([[1.0, 1.0]] * 5 + [[0.0, 0.0]] * 95))
    assert find_implications(matrix, targets=1, alpha=0.01).implying.tolist() == [1]


def test_no_rows_imply_nothing() -> None:
    empty = csr_matrix(torch.zeros(1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0), (0, 4))
    assert find_implications(empty, targets=4).largest == 0


def test_an_id_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.3"):
        Implications({0: [4]}, 4)
