"""What an APEM's selectors do with rows (Tao et al., section 4.4, Figure 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from models.apem import APEM
from models.batch import Batch
from models.layers.adaptive import AdaptiveLayer
from models.layers.hits import find_hits


def selects(model: APEM) -> bool:
    """Whether it has selectors (setting asrg)."""
    return all(isinstance(layer, AdaptiveLayer) for layer in model.layers)


@torch.no_grad()
def selection_rate(model: APEM, batch: Batch) -> Tensor:
    """[rows, layers]: the share of each layer's inducing points that the selector lets in (their Figure 7a).

    Raises ValueError for a model without selectors.
    """
    rates = []
    for layer, x in zip(model.layers, _layer_inputs(model, batch), strict=False):
        if not isinstance(layer, AdaptiveLayer):
            raise ValueError("without ASRG (setting asrg) nothing is selected")
        rates.append((layer.select(x, model.gamma) > 0).float().mean(1))
    return torch.stack(rates, dim=1)


@torch.no_grad()
def row_embeddings(model: APEM, batch: Batch) -> Tensor:
    """[rows, dim]: the last layer's mean over points (their Figure 7b)."""
    return _layer_inputs(model, batch)[-1].mean(1)


def _layer_inputs(model: APEM, batch: Batch) -> list[Tensor]:
    """Of the plain rows: what each layer reads, and what the last one gives."""
    found = [model.inputs(batch, find_hits(batch, model.masks, batch.pair_rows.new_empty(0)))[0]]
    for layer in model.layers:
        found.append(layer(found[-1], model.gamma))
    return found
