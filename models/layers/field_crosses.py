"""Products of fields: what stands in a row's fields, brought to one width and crossed with one another."""

from __future__ import annotations

from torch import Tensor, nn

from models.layers.cross import CrossLayers, LowRankCrossLayers

_EXPERTS = 4  # a low-rank layer's, as in DCN-Mix (MetaCon section 7)


class FieldCrosses(nn.Module):
    """c = Cross(P [x_1 … x_F] + b), Cross as in DCN v2 (Wang et al., WWW 2021, Eq 1 and 3-6).

    An expert reads the sum of a row's concepts and has to find their products by layers of relu; with these it has
    them. A field's x_f is normalised by itself, x_f = sum_c w_c E_c / sqrt(1 + sum_c w_c): it holds few concepts.
    """

    def __init__(self, fields: int, dim: int, width: int, layers: int, rank: int) -> None:
        """rank: of the four experts of each layer's matrix, 0: one matrix of full rank."""
        super().__init__()
        self.projection = nn.Linear(fields * dim, width)
        self.cross = LowRankCrossLayers(width, layers, _EXPERTS, rank) if rank else CrossLayers(width, layers)

    def forward(self, sums: Tensor, weights: Tensor) -> Tensor:
        """sums [views, fields, dim] of weighted embeddings, weights [views, fields] their sums -> [views, width]."""
        normalised = sums * (1 + weights).rsqrt().unsqueeze(2).to(sums.dtype)
        crossed: Tensor = self.cross(self.projection(normalised.flatten(1)))
        return crossed
