"""Sums of concept embeddings, plain and masked (PadMask, paper Eq 9)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.batch import Batch
from models.layers.bags import bag_sums
from models.layers.hits import Hits


class ConceptEmbedding(nn.Module):
    """A table [vocabulary, dim] and its weighted sums over the visible concepts of each view.

    A masked view's sum is its row's sum less the masked part: zeroing the concepts, without summing the rest anew.
    """

    def __init__(self, vocabulary_size: int, dim: int, *, std: float, sparse: bool) -> None:
        """std: of the random start (0: zeros). sparse: the table's gradient is a sparse tensor."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocabulary_size, dim) * std)
        self.sparse = sparse

    def forward(self, batch: Batch, hits: Hits) -> Tensor:
        """[rows + views, dim]: the sum of each plain row, then of each masked view."""
        # One lookup for rows and masked parts (these with negative weights), so that there is one gradient.
        ids = torch.cat([batch.concept_ids, batch.concept_ids[hits.entries]])
        weights = torch.cat([batch.concept_weights, -batch.concept_weights[hits.entries]])
        offsets = torch.cat([batch.row_offsets, batch.row_offsets[-1] + hits.entry_offsets[1:]])
        sums = bag_sums(self.weight, ids, weights, offsets, sparse=self.sparse)
        return _with_masked_views(sums, batch.rows, hits)

    def by_field(self, batch: Batch, hits: Hits, fields: Tensor, count: int) -> Tensor:
        """[rows + views, count, dim]: the same sums, one for each field. fields [vocabulary]: of each concept."""
        ids, weights, bags = _entries_by_field(batch, hits, fields, count)
        order = torch.argsort(bags, stable=True)
        counts = torch.bincount(bags, minlength=(batch.rows + hits.views) * count)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        sums = bag_sums(self.weight, ids[order], weights[order], offsets, sparse=self.sparse)
        return _with_masked_views(sums.view(-1, count, sums.shape[1]), batch.rows, hits)


def visible_weights(batch: Batch, hits: Hits) -> Tensor:
    """[rows + views] float64: the sum of each view's visible concept weights."""
    weights = torch.cat([batch.concept_weights, -batch.concept_weights[hits.entries]]).double()
    offsets = torch.cat([batch.row_offsets, batch.row_offsets[-1] + hits.entry_offsets[1:]])
    running = torch.cat([weights.new_zeros(1), weights.cumsum(0)])[offsets]
    return _with_masked_views(running[1:] - running[:-1], batch.rows, hits).clamp(min=0)


def field_weights(batch: Batch, hits: Hits, fields: Tensor, count: int) -> Tensor:
    """[rows + views, count] float64: the sum of each view's visible concept weights in each field."""
    _, weights, bags = _entries_by_field(batch, hits, fields, count)
    sums = weights.new_zeros((batch.rows + hits.views) * count, dtype=torch.float64)
    sums.index_add_(0, bags, weights.double())
    return _with_masked_views(sums.view(-1, count), batch.rows, hits).clamp(min=0)


def _entries_by_field(batch: Batch, hits: Hits, fields: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Concept, weight and bag (row or view, times field) of all entries, the masked ones with negative weights."""
    view_of_entry = torch.repeat_interleave(
        torch.arange(hits.views, device=hits.entries.device), hits.entry_offsets.diff()
    )
    ids = torch.cat([batch.concept_ids, batch.concept_ids[hits.entries]])
    weights = torch.cat([batch.concept_weights, -batch.concept_weights[hits.entries]])
    rows = torch.cat([batch.row_of_entry(), batch.rows + view_of_entry])
    return ids, weights, rows * count + fields[ids]


def _with_masked_views(sums: Tensor, rows: int, hits: Hits) -> Tensor:
    """From sums of rows and (negative) masked parts to sums of rows and views."""
    if hits.views == 0:
        return sums
    plain, masked_parts = sums[:rows], sums[rows:]
    return torch.cat([plain, plain[hits.view_rows] + masked_parts])
