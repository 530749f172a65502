"""What APEM's towers may read beside its Pattern Selector: the fields themselves, and their products."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.networks import Networks


class FieldNetwork(nn.Module):
    """relu layers (none: their input) over the fields side by side and, with `products`, the sum of their products,

    sum_(f < g) x_f * x_g = ((sum_f x_f)^2 - sum_f x_f^2) / 2      (bi-interaction; He and Chua, SIGIR 2017).
    """

    def __init__(self, fields: int, dim: int, widths: Sequence[int], products: bool, dropout: float) -> None:
        super().__init__()
        self.products = products
        self.network = Networks(1, dim * (fields + products), widths, dropout)

    @property
    def width(self) -> int:
        """Of what forward gives."""
        return self.network.width

    def forward(self, fields: Tensor) -> Tensor:
        """[views, fields, dim] -> [views, width]."""
        read = fields.flatten(1)
        if self.products:
            products = (fields.sum(1).square() - fields.square().sum(1)) / 2
            read = torch.cat([read, products], dim=1)
        return self.network(read)[0]
