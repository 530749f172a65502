"""APEM's dynamic selector on the query split: what share of the inducing points it lets in (their section 4.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import nn

from models.apem import APEM
from models.ensemble import members_of
from models.selection import row_embeddings, selection_rate, selects
from pipeline.evaluate.predict import batches
from pipeline.shards.batches import Matrix

MAX_ROWS = 2048
_BATCH_ROWS = 512
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Selection:
    """rates [rows, layers]: the share of each layer's points that are on, in [0, 1]; places [rows, 2]: the row's mean
    over the points of the last layer, along its two leading principal components."""

    rates: Array
    places: Array

    def by_layer(self) -> list[float]:
        """[layers] means over rows."""
        return [float(rate) for rate in self.rates.mean(axis=0)]


def selection_of(model: nn.Module, matrix: Matrix) -> Selection | None:
    """Of the first rows, which are a fair sample; of an ensemble's first member. None for models without a selector."""
    member = members_of(model)[0]
    rows = min(MAX_ROWS, matrix.features.shape[0])
    if not isinstance(member, APEM) or not selects(member) or min(rows, member.embedding_dim) < 2:
        return None
    member = member.cpu().eval()
    rates, embeddings = [], []
    for batch in batches(matrix.first(rows), _BATCH_ROWS):
        rates.append(selection_rate(member, batch).double())
        embeddings.append(row_embeddings(member, batch).double())
    places = PCA(2, svd_solver="full").fit_transform(torch.cat(embeddings).numpy())
    return Selection(torch.cat(rates).numpy(), places)
