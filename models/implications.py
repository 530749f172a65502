"""Concepts that give others away: an item implies its category, brand and topic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.sparse import csr_matrix, row_of_entry, transposed

_BLOCK = 64  # targets counted at a time


class Implications(nn.Module):
    """implied_by[c] = the concepts whose presence implies c.

    offsets [vocabulary + 1], implying [entries] int64. Give the relation closed (an item implies its brand's topic).
    """

    offsets: Tensor
    implying: Tensor

    def __init__(self, implied_by: Mapping[int, Sequence[int]], vocabulary_size: int) -> None:
        """Raises ValueError for an id outside the vocabulary."""
        super().__init__()
        concepts = sorted(implied_by)
        flat = [implying for concept in concepts for implying in implied_by[concept]]
        named = [*concepts, *flat]
        if named and not 0 <= min(named) <= max(named) < vocabulary_size:
            raise ValueError(f"an implication names a concept id outside 0..{vocabulary_size - 1}")
        counts = torch.zeros(vocabulary_size, dtype=torch.int64)
        for concept in concepts:
            counts[concept] = len(implied_by[concept])
        self.register_buffer("offsets", torch.cat([counts.new_zeros(1), counts.cumsum(0)]))
        self.register_buffer("implying", torch.tensor(flat, dtype=torch.int64))
        self.largest = int(torch.bincount(self.implying).max()) if flat else 0
        """How many concepts the most telling concept implies."""


def find_implications(rows: Tensor, targets: int, alpha: float = 1e-3) -> Implications:
    """What implies concepts 0..targets-1 in a sample of the support: sparse CSR rows [rows, vocabulary].

    Concept a implies target t if t is in every row that holds a, and that is not chance: (share of rows with t) ^
    (rows with a) < alpha / vocabulary, the test that causal masks use. Costs nnz x targets additions.
    """
    ids, of_entry, vocabulary = rows.col_indices(), row_of_entry(rows), rows.shape[1]
    rows_of_concept = transposed(
        csr_matrix(rows.crow_indices(), ids, torch.ones(ids.numel()), (rows.shape[0], vocabulary))
    )
    carriers = torch.bincount(ids, minlength=vocabulary)
    log_share = (carriers[:targets].double() / max(1, rows.shape[0])).log()
    limit = math.log(alpha / max(1, vocabulary))
    implied_by: dict[int, list[int]] = {}
    for first in range(0, targets, _BLOCK):
        last = min(targets, first + _BLOCK)
        inside = (ids >= first) & (ids < last)
        has_target = torch.zeros(rows.shape[0], last - first)
        has_target[of_entry[inside], ids[inside] - first] = 1
        together = rows_of_concept @ has_target  # [vocabulary, targets of the block]
        certain = (together == carriers[:, None]) & (carriers[:, None] * log_share[first:last] < limit)
        for implying, target in certain.nonzero().tolist():
            if implying != target + first:
                implied_by.setdefault(target + first, []).append(implying)
    return Implications(implied_by, vocabulary)
