"""All dense gradients of a model in one flat buffer, so that ranks exchange them in one call a step.

    buffer  [ grad of parameter 0 | grad of parameter 1 | … | statistics ]
                 ^ parameter.grad is a view, autograd adds into it

Embeddings with sparse gradients stay outside: only the rows a batch touched are exchanged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.train.distribution import World


class Gradients:
    """The gradients of `dense` and `sparse` parameters, and a few numbers to be summed along with them."""

    def __init__(
        self,
        dense: Sequence[nn.Parameter],
        sparse: Sequence[nn.Parameter],
        statistics: int,
        members: Sequence[nn.Module] = (),
    ) -> None:
        """members: models with parameters of their own, in the order of `dense`; none: all belong to one."""
        self._dense = list(dense)
        self._sparse = list(sparse)
        self._members = _of_members(self._dense, self._sparse, members)
        self._size = sum(parameter.numel() for parameter in self._dense)
        device = (self._dense or self._sparse)[0].device
        self._buffer = torch.zeros(self._size + statistics, device=device)
        self.statistics = self._buffer[self._size :]

    def clear(self) -> None:
        """Zero everything; parameters that a batch does not touch have gradient zero, not none, on every rank."""
        self._buffer.zero_()
        start = 0
        for parameter in self._dense:
            parameter.grad = self._buffer[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()
        for parameter in self._sparse:
            parameter.grad = None

    def sum_over(self, world: World) -> None:
        """Replace gradients and statistics by their sums over ranks."""
        world.sum_(self._buffer)
        for index, parameter in enumerate(self._sparse):
            gradient = parameter.grad if parameter.grad is not None else _no_rows(parameter)
            parameter.grad = world.sum_sparse(gradient, name=f"rows.{index}")

    def scale(self, factor: float) -> None:
        """Multiply all gradients; statistics stay. Sparse ones are coalesced already."""
        self._buffer[: self._size].mul_(factor)
        for parameter in self._sparse:
            if parameter.grad is not None:
                parameter.grad.values().mul_(factor)

    def clip(self, limit: float | None) -> float:
        """Scale each member's gradients so that their norm is at most `limit`; returns the common norm before."""
        total = 0.0
        for span, sparse in self._members:
            parts = [self._buffer[span], *(one.grad.values() for one in sparse if one.grad is not None)]
            norm = float(torch.stack([part.square().sum() for part in parts]).sum().sqrt())
            if limit is not None and norm > limit:
                for part in parts:
                    part.mul_(limit / norm)
            total += norm**2
        return math.sqrt(total) if math.isfinite(total) else total


def _of_members(
    dense: Sequence[nn.Parameter], sparse: Sequence[nn.Parameter], members: Sequence[nn.Module]
) -> list[tuple[slice, list[nn.Parameter]]]:
    """Of each member: where its dense gradients stand in the buffer, and its sparse parameters."""
    if not members:
        return [(slice(0, sum(one.numel() for one in dense)), list(sparse))]
    found, start = [], 0
    for member in members:
        own = {id(parameter) for parameter in member.parameters()}
        size = sum(one.numel() for one in dense if id(one) in own)
        found.append((slice(start, start + size), [one for one in sparse if id(one) in own]))
        start += size
    return found


def _no_rows(parameter: nn.Parameter) -> Tensor:
    indices = torch.zeros((1, 0), dtype=torch.int64, device=parameter.device)
    values = torch.zeros((0, *parameter.shape[1:]), device=parameter.device)
    return torch.sparse_coo_tensor(indices, values, parameter.shape)
