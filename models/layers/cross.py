"""Feature crosses of DCN v2 (Wang et al., WWW 2021): each layer multiplies by the input once more."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class CrossLayers(nn.Module):
    """Full rank (Eq 1): x_(l+1) = x_0 * (W_l x_l + b_l) + x_l."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(width, width) / math.sqrt(width) for _ in range(layers))
        self.biases = nn.ParameterList(torch.zeros(width) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """[views, width], unchanged in shape."""
        crossed = x
        for weight, bias in zip(self.weights, self.biases, strict=True):
            crossed = x * torch.addmm(bias, crossed, weight) + crossed
        return crossed


class LowRankCrossLayers(nn.Module):
    """A mixture of low-rank experts (Eq 3-6), g = tanh:

    x_(l+1) = sum_i softmax(G_l x_l)_i  x_0 * (U_li g(C_li g(V_li' x_l)) + b_l) + x_l
    """

    def __init__(self, width: int, layers: int, experts: int, rank: int) -> None:
        super().__init__()
        count = range(layers)
        self.down = nn.ParameterList(torch.randn(experts, width, rank) / math.sqrt(width) for _ in count)
        self.core = nn.ParameterList(torch.randn(experts, rank, rank) / math.sqrt(rank) for _ in count)
        self.up = nn.ParameterList(torch.randn(experts, rank, width) / math.sqrt(rank) for _ in count)
        self.biases = nn.ParameterList(torch.zeros(width) for _ in count)
        self.gates = nn.ParameterList(torch.randn(width, experts) / math.sqrt(width) for _ in count)

    def forward(self, x: Tensor) -> Tensor:
        """[views, width], unchanged in shape."""
        crossed = x
        for down, core, up, bias, gate in zip(self.down, self.core, self.up, self.biases, self.gates, strict=True):
            experts, width, rank = down.shape
            # Experts side by side, and weighed while they are narrow: one wide product down and one up.
            narrow = torch.tanh(crossed @ down.transpose(0, 1).reshape(width, experts * rank))
            unit = torch.tanh(torch.bmm(narrow.view(-1, experts, rank).transpose(0, 1), core))
            shares = torch.softmax(crossed @ gate, dim=1)
            weighed = (unit.transpose(0, 1) * shares.unsqueeze(2)).flatten(1)
            crossed = x * torch.addmm(bias, weighed, up.flatten(0, 1)) + crossed
        return crossed
