"""APEM's Adaptive Sample-wise Representation Generator, ASRG (Tao et al., section 3.1), and what stands in for it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def dynamic_activation(z: Tensor, gamma: Tensor) -> Tensor:
    """f_D (Eq 13): 0 up to -gamma/2, 1 from gamma/2 on, the cubic -2 t^3 + 3/2 t + 1/2 of t = z / gamma between.

    Value and gradient are continuous; the steeper, the smaller gamma.
    """
    t = (z / gamma).clamp(-0.5, 0.5)
    return t * (1.5 - 2 * t.square()) + 0.5


class AdaptiveLayer(nn.Module):
    """Inducing points attend to the fields, each as far as a selector, computed from the row, lets it (Eq 11-17).

        z = f_D(MLP(H)),  Q = z I,  O = multi-head attention(Q, H W_K, H W_V) W_O,  Y = LayerNorm(O + P H)

    H [views, inputs, width] -> Y [views, points, width]. The selector is shared by the heads. P is the identity where
    inputs and points are as many, else learned (docs/decisions/0007-apem.md).
    """

    def __init__(
        self, inputs: int, points: int, width: int, heads: int, selector_hidden: int, selector_norm: bool = False
    ) -> None:
        super().__init__()
        self.heads = heads
        self.selector = nn.Sequential(
            nn.Linear(inputs * width, selector_hidden), nn.ReLU(), nn.Linear(selector_hidden, points)
        )
        if selector_norm:
            self.selector.append(nn.LayerNorm(points))
        self.inducing = nn.Parameter(torch.randn(points, width))
        self.key_value_out = nn.Parameter(torch.randn(3, width, width) / math.sqrt(width))
        self.residual = nn.Parameter(torch.randn(points, inputs) / math.sqrt(inputs)) if points != inputs else None
        self.norm = nn.LayerNorm(width)

    def select(self, fields: Tensor, gamma: Tensor) -> Tensor:
        """z [views, points], in [0, 1]."""
        return dynamic_activation(self.selector(fields.flatten(1)), gamma)

    def forward(self, fields: Tensor, gamma: Tensor) -> Tensor:
        """H -> Y."""
        query = self.inducing * self.select(fields, gamma).unsqueeze(2)
        key, value, out = self.key_value_out
        attended = attention(query, fields @ key, fields @ value, self.heads) @ out
        return self.norm(attended + (fields if self.residual is None else self.residual @ fields))


class SelfAttentionLayer(nn.Module):
    """The ablation without ASRG: plain self-attention of the fields (section 4.3). Shape unchanged."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value_out = nn.Parameter(torch.randn(4, width, width) / math.sqrt(width))
        self.norm = nn.LayerNorm(width)

    def forward(self, fields: Tensor, gamma: Tensor) -> Tensor:
        """H -> LayerNorm(O + H)."""
        query, key, value, out = self.query_key_value_out
        attended = attention(fields @ query, fields @ key, fields @ value, self.heads) @ out
        return self.norm(attended + fields)


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """query [views, n, width], key and value [views, m, width] -> [views, n, width]; each head has width / heads.

    Scores are divided by sqrt(width / heads).
    """
    query, key, value = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
