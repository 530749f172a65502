"""Heads of the auxiliary masked-concept tasks (paper section 6), a thousand or so at the price of one.

They share one projection of the experts, and their gates read no input:
    logit_a = sum_e softmax(gate_a)_e  w_a' relu(P h_e + p)  + b_a,
so gates fold into the weights, and all heads are one [rows, experts * hidden] x [experts * hidden, heads] product.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class AuxiliaryHeads(nn.Module):
    """`heads` binary outputs over the experts."""

    def __init__(self, heads: int, experts: int, width: int, hidden: int) -> None:
        super().__init__()
        bound = math.sqrt(3 / width)
        self.projection = nn.Parameter(torch.empty(width, hidden).uniform_(-bound, bound))
        self.projection_bias = nn.Parameter(torch.zeros(hidden))
        self.weight = nn.Parameter(torch.randn(hidden, heads) / math.sqrt(hidden))
        self.gate = nn.Parameter(torch.zeros(experts, 1, heads)) if experts > 1 else None
        self.bias = nn.Parameter(torch.zeros(heads))

    def forward(self, experts: Tensor) -> Tensor:
        """experts [experts, rows, width] -> [rows, heads]."""
        unit = torch.relu(experts @ self.projection + self.projection_bias)
        unit = unit.transpose(0, 1).flatten(1)  # [rows, experts * hidden]
        weight = self.weight if self.gate is None else (torch.softmax(self.gate, 0) * self.weight).flatten(0, 1)
        return torch.addmm(self.bias, unit, weight)
