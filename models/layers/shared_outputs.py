"""A narrow layer of outputs that all tasks share, between experts and towers.

With a few dozen positives a task cannot learn weights over a wide expert. Its towers read `outputs` numbers instead,
    y_j = h_j P_j + x S,
the same for all tasks, so that the tasks together find the few directions that segments differ in (a low-rank
weight matrix over tasks; Ando and Zhang 2005). x S lets what is linear in the input pass by the experts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SharedOutputs(nn.Module):
    """experts [experts, views, width] and x [views, input width] -> [experts, views, outputs]."""

    def __init__(self, experts: int, width: int, input_width: int, outputs: int) -> None:
        super().__init__()
        self.projection = nn.Parameter(torch.randn(experts, width, outputs) / math.sqrt(width))
        self.skip = nn.Parameter(torch.randn(input_width, outputs) / math.sqrt(input_width))

    def forward(self, experts: Tensor, x: Tensor) -> Tensor:
        """The sum of both parts, the second the same for every expert."""
        return torch.baddbmm((x @ self.skip).expand(experts.shape[0], -1, -1), experts, self.projection)
