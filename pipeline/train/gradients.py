"""All dense gradients of a model in one flat buffer, so that ranks exchange them in one call a step.

    buffer  [ grad of parameter 0 | grad of parameter 1 | … | statistics ]
                 ^ parameter.grad is a view, autograd adds into it

Embeddings with sparse gradients stay outside: only the rows a batch touched are exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.train.distribution import World


class Gradients:
    """The gradients of `dense` and `sparse` parameters, and a few numbers to be summed along with them."""

    def __init__(self, dense: Sequence[nn.Parameter], sparse: Sequence[nn.Parameter], statistics: int) -> None:
        self._dense = list(dense)
        self._sparse = list(sparse)
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
        """Scale all gradients so that their common norm is at most `limit`; returns the norm before."""
        squares = self._buffer[: self._size].square().sum()
        rows = [parameter.grad.values() for parameter in self._sparse if parameter.grad is not None]
        for values in rows:
            squares = squares + values.square().sum()
        norm = float(squares.sqrt())
        if limit is not None and norm > limit:
            self._buffer[: self._size].mul_(limit / norm)
            for values in rows:
                values.mul_(limit / norm)
        return norm


def _no_rows(parameter: nn.Parameter) -> Tensor:
    indices = torch.zeros((1, 0), dtype=torch.int64, device=parameter.device)
    values = torch.zeros((0, *parameter.shape[1:]), device=parameter.device)
    return torch.sparse_coo_tensor(indices, values, parameter.shape)
