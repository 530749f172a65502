"""Random numbers that cost little: dropout from 16 random bits an element instead of bernoulli_."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEVELS = 1 << 16


def random_int16(count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """[count] int16, uniform over all 65,536 values: four of them from each 64-bit draw."""
    words = torch.empty((count + 3) // 4, dtype=torch.int64, device=device)
    words.random_(-(1 << 63), None, generator=generator)
    return words.view(torch.int16)[:count]


class Dropout(nn.Module):
    """Zeroes each element with probability `share` (to 1/65,536) while training and rescales the rest."""

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise ValueError(f"dropout is a share in [0, 1), not {share}")
        self.level = round(share * _LEVELS)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        if not self.training or self.level == 0:
            return x
        keep = random_int16(x.numel(), x.device).view(x.shape) >= self.level - _LEVELS // 2
        return x * (keep.to(x.dtype) * (_LEVELS / (_LEVELS - self.level)))
