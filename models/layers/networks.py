"""Several networks of the same shape side by side, one batched product a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.dropout import Dropout


class Networks(nn.Module):
    """`copies` plain networks of relu layers: h_l = relu(h_(l-1) W_l + b_l), with dropout after each layer.

    The experts of MMoE and PLE, towers with an input a task, a shared bottom (one copy). No widths: the input itself.
    """

    def __init__(self, copies: int, input_width: int, widths: Sequence[int], dropout: float) -> None:
        """Raises ValueError for a width below 1."""
        super().__init__()
        if any(width < 1 for width in widths):
            raise ValueError(f"layer widths are at least 1, not {list(widths)}")
        self.copies = copies
        self.width = widths[-1] if widths else input_width
        inputs = [input_width, *widths][: len(widths)]
        self.weights = nn.ParameterList(_layer(copies, n, width) for n, width in zip(inputs, widths, strict=True))
        self.biases = nn.ParameterList(torch.zeros(copies, 1, width) for width in widths)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x [views, input width] for all copies, or [copies, views, input width] -> [copies, views, width]."""
        hidden = x.expand(self.copies, *x.shape[-2:])
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = self.dropout(torch.relu_(torch.baddbmm(bias, hidden, weight)))
        return hidden


def _layer(copies: int, inputs: int, outputs: int) -> Tensor:
    bound = math.sqrt(3 / inputs)
    return torch.empty(copies, inputs, outputs).uniform_(-bound, bound)
