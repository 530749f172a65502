"""Weighted sums of table rows ("bags") with a sparse gradient that is cheap to form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def bag_sums(table: Tensor, ids: Tensor, weights: Tensor, offsets: Tensor, *, sparse: bool) -> Tensor:
    """[bags, dim]: sum of weights[i] * table[ids[i]] over offsets[bag] <= i < offsets[bag + 1].

    sparse: the gradient of the table is a coalesced sparse tensor of the rows in `ids`.
    """
    if sparse and torch.is_grad_enabled():
        return _SparseBags.apply(table, ids, weights, offsets)
    return _sums(table, ids, weights, offsets)


class _SparseBags(torch.autograd.Function):
    """The gradient of a table row is itself a bag: the weighted sum of the gradients of the bags the row is in.

    EmbeddingBag's own sparse gradient holds a row for every id in every bag, and is then sorted and added up.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(ids, weights, offsets)
        ctx.shape = table.shape
        return _sums(table, ids, weights, offsets)

    @staticmethod
    def backward(ctx: Any, upper: Tensor) -> tuple[Tensor | None, ...]:
        ids, weights, offsets = ctx.saved_tensors
        bag_of_entry = torch.repeat_interleave(torch.arange(offsets.numel() - 1, device=ids.device), offsets.diff())
        ordered, order = torch.sort(ids, stable=True)
        rows, counts = torch.unique_consecutive(ordered, return_counts=True)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        values = _sums(upper.contiguous(), bag_of_entry[order], weights[order], offsets)
        with torch.sparse.check_sparse_tensor_invariants(False):
            gradient = torch.sparse_coo_tensor(rows.unsqueeze(0), values, ctx.shape, is_coalesced=True)
        return gradient, None, None, None


def _sums(table: Tensor, ids: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
    return F.embedding_bag(
        ids, table, offsets, mode="sum", per_sample_weights=weights.to(table.dtype), include_last_offset=True
    )
