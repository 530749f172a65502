"""Adam for tables with sparse gradients."""

from __future__ import annotations

import pytest
import torch

from models.row_adam import RowAdam


def test_steps_and_state_are_those_of_torchs_sparse_adam() -> None:
    torch.manual_seed(0)
    start, found = torch.randn(300, 700), []
    gradients = []
    for step in range(4):
        rows = torch.randint(0, 300, (1, 200 if step != 2 else 0))  # with repeats; once none
        gradients.append((rows, torch.randn(rows.shape[1], 700)))
    for optimizer_class in (torch.optim.SparseAdam, RowAdam):
        table = torch.nn.Parameter(start.clone())
        optimizer = optimizer_class([table], lr=0.1, betas=(0.8, 0.95), eps=1e-3)
        for rows, values in gradients:
            table.grad = torch.sparse_coo_tensor(rows, values, table.shape)
            optimizer.step()
        found.append([table.detach(), *optimizer.state[table].values()])
        assert list(optimizer.state[table]) == ["step", "exp_avg", "exp_avg_sq"]
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_rows_without_gradient_stay() -> None:
    table = torch.nn.Parameter(torch.ones(4, 2))
    optimizer = RowAdam([table], lr=0.1)
    optimizer.step()  # no gradient at all
    table.grad = torch.sparse_coo_tensor([[2]], torch.ones(1, 2), table.shape)
    optimizer.step()
    assert (table != 1).any(1).tolist() == [False, False, True, False]


def test_a_dense_gradient_is_refused() -> None:
    table = torch.nn.Parameter(torch.ones(4, 2))
    table.grad = torch.ones(4, 2)
    with pytest.raises(ValueError, match="sparse"):
        RowAdam([table]).step()
