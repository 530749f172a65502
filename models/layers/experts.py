"""The expert networks Expert_j of paper Eq 7, all in one batched product a layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.layers.dropout import Dropout


class Experts(nn.Module):
    """`experts` networks of `layers` layers of one width "with dense residual connections" (paper section 7).

    We read that as a residual stream: each layer's input is the sum of all earlier outputs,
        s_0 = x,  s_l = s_(l-1) + relu(s_(l-1) W_l + b_l),  Expert(x) = s_layers,
    where the first layer projects without the skip if the input's width is another one.
    """

    def __init__(self, experts: int, layers: int, input_width: int, width: int, dropout: float) -> None:
        super().__init__()
        self.experts = experts
        inputs = [input_width] + [width] * (layers - 1)
        self.weights = nn.ParameterList(_layer(experts, n, width) for n in inputs)
        self.biases = nn.ParameterList(torch.zeros(experts, 1, width) for _ in inputs)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x [views, input width] -> [experts, views, width]."""
        stream = x.expand(self.experts, *x.shape)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            out = self.dropout(torch.relu_(torch.baddbmm(bias, stream, weight)))
            stream = stream + out if weight.shape[1] == weight.shape[2] else out
        return stream


def _layer(experts: int, inputs: int, outputs: int) -> Tensor:
    bound = math.sqrt(3 / inputs)
    return torch.empty(experts, inputs, outputs).uniform_(-bound, bound)
