"""The heart of the towers on plain rows, written out with its gradient: gate the experts, relu, last layer.

    z[h, k, r]   = first_bias[h, k] + sum_e gates[e, k, r] * sum_w first[w, h, k] * experts[e, r, w]
    logits[j, r] = sum_h relu(z)[h, task of head j, r] * last[h, j]

Rows stand innermost and hidden units outermost, so that gates meet the wide products in one long run of memory, and
the work goes by chunks of hidden units that stay in the cache. Autograd would walk the [experts, hidden, tasks, rows]
products from memory a dozen times.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CHUNK_NUMBERS = 1 << 18  # of z a chunk, on a CPU: a megabyte of float32


class GatedTowers(torch.autograd.Function):
    """apply(experts, gates, first, first_bias, last, head_tasks, keep) -> [heads, rows].

    experts [experts, rows, width]; gates [experts, tasks, rows]; first [width, hidden, tasks] in the experts' type;
    first_bias [hidden, tasks]; last [hidden, heads]; head_tasks [heads] int64, None where each task has one head;
    keep: for a backward pass (else only one chunk of the wide products is held at a time).
    """

    @staticmethod
    def forward(
        ctx: Any,
        experts: Tensor,
        gates: Tensor,
        first: Tensor,
        first_bias: Tensor,
        last: Tensor,
        heads: Tensor | None,
        keep: bool,
    ) -> Tensor:
        rows, hidden, tasks = experts.shape[1], *first.shape[1:]
        chunks = _chunks(hidden, tasks * rows, experts.is_cuda)
        product = experts.new_empty(experts.shape[0], hidden if keep else chunks[0].stop, tasks, rows)
        logits = gates.new_zeros(last.shape[1], rows)
        for chunk in chunks:
            part = product[:, chunk if keep else slice(0, min(chunk.stop, hidden) - chunk.start)]
            for e in range(experts.shape[0]):
                torch.mm(first[:, chunk].flatten(1).t(), experts[e].t(), out=part[e].flatten(0, 1))
            unit = _by_head(_units(part, gates, first_bias[chunk]), heads)
            logits += unit.mul_(last[chunk, :, None]).sum(0)
        if not keep:
            return logits
        ctx.save_for_backward(experts, gates, first, first_bias, last, heads, product)
        return logits

    @staticmethod
    def backward(ctx: Any, upper: Tensor) -> tuple[Tensor | None, ...]:
        experts, gates, first, first_bias, last, heads, product = ctx.saved_tensors
        upper = upper.contiguous()
        d_product = torch.empty_like(product)
        d_gates, d_first_bias, d_last = torch.zeros_like(gates), torch.empty_like(first_bias), torch.empty_like(last)
        for chunk in _chunks(product.shape[1], product.shape[2] * product.shape[3], product.is_cuda):
            unit = _units(product[:, chunk], gates, first_bias[chunk])
            torch.sum(_by_head(unit, heads) * upper, 2, out=d_last[chunk])
            d_z = last[chunk, :, None] * upper
            if heads is not None:
                d_z = torch.zeros_like(unit).index_add_(1, heads, d_z)
            d_z = torch.ops.aten.threshold_backward(d_z, unit, 0)
            torch.sum(d_z, 2, out=d_first_bias[chunk])
            for e in range(experts.shape[0]):
                d_gates[e] += (product[e, chunk] * d_z).sum(0)
                torch.mul(d_z, gates[e], out=d_product[e, chunk])
        wide, d_wide = first.flatten(1), d_product.flatten(1, 2)  # [width, hidden * tasks], [experts, same, rows]
        d_experts = None  # of no use where only a task's own part is trained
        if ctx.needs_input_grad[0]:
            d_experts = torch.stack([torch.mm(wide, d) for d in d_wide]).transpose(1, 2)
        d_first = d_wide.new_zeros(wide.shape[1], wide.shape[0])
        for e in range(experts.shape[0]):
            d_first.addmm_(d_wide[e], experts[e])
        return d_experts, d_gates, d_first.t().reshape(first.shape), d_first_bias, d_last, None, None


def _units(product: Tensor, gates: Tensor, first_bias: Tensor) -> Tensor:
    """[hidden, tasks, rows]: the relu units of a chunk."""
    z = torch.addcmul(first_bias[:, :, None], product[0], gates[0])
    for e in range(1, product.shape[0]):
        z.addcmul_(product[e], gates[e])
    return z.relu_()


def _by_head(by_task: Tensor, heads: Tensor | None) -> Tensor:
    return by_task if heads is None else by_task.index_select(1, heads)


def _chunks(hidden: int, per_unit: int, whole: bool) -> list[slice]:
    """Slices of hidden units that fit the cache; one for all on a GPU."""
    step = hidden if whole else min(hidden, max(1, _CHUNK_NUMBERS // max(1, per_unit)))
    return [slice(start, start + step) for start in range(0, hidden, step)]
