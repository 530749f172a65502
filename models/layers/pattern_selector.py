"""APEM's Pattern Selector: what each task reads off the shared representation (Tao et al., section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.adaptive import attention


class PatternSelector(nn.Module):
    """F_i = Attention(alpha_i, Y, Y),  T_i = LayerNorm(T_i of the layer below + F_i)   (Eq 18-19).

    alpha_i [width] is the task's indicator. T is read by the next selector and the towers only: nothing of it goes
    back into the shared layers.
    """

    def __init__(self, tasks: int, width: int) -> None:
        super().__init__()
        self.indicators = nn.Parameter(torch.randn(tasks, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, shared: Tensor, below: Tensor | None) -> Tensor:
        """shared Y [views, points, width], below [views, tasks, width], None in the first layer -> as below."""
        read = attention(self.indicators.expand(len(shared), -1, -1), shared, shared, heads=1)
        return self.norm(read if below is None else below + read)
