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
    carriers = torch.bincount(ids, minlength=vocabulary)
    log_share = (carriers[:targets].double() / max(1, rows.shape[0])).log()
    limit = math.log(alpha / max(1, vocabulary))
    # Of millions of concepts most have too few carriers to imply even the rarest target: they are not multiplied.
    rarest = log_share[log_share.isfinite()].min() if carriers[:targets].any() else log_share.new_zeros(())
    telling = (carriers * rarest < limit).nonzero()[:, 0]
    rows_of_concept = _rows_of(telling, rows)
    implied_by: dict[int, list[int]] = {}
    for first in range(0, targets, _BLOCK):
        last = min(targets, first + _BLOCK)
        inside = (ids >= first) & (ids < last)
        has_target = torch.zeros(rows.shape[0], last - first)
        has_target[of_entry[inside], ids[inside] - first] = 1
        together = rows_of_concept @ has_target  # [telling, targets of the block]
        of_telling = carriers[telling, None]
        certain = (together == of_telling) & (of_telling * log_share[first:last] < limit)
        for place, target in certain.nonzero().tolist():
            implying = int(telling[place])
            if implying != target + first:
                implied_by.setdefault(target + first, []).append(implying)
    return Implications(implied_by, vocabulary)


def _rows_of(concepts: Tensor, rows: Tensor) -> Tensor:
    """Sparse CSR [concepts, rows] of ones: which of the rows [rows, vocabulary] hold each of these concepts."""
    place = torch.full((rows.shape[1],), -1)
    place[concepts] = torch.arange(len(concepts))
    of_entry, places = row_of_entry(rows), place[rows.col_indices()]
    wanted = places >= 0
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(of_entry[wanted], minlength=rows.shape[0])])
    shape = (rows.shape[0], len(concepts))
    ones = torch.ones(int(wanted.sum()))
    return transposed(csr_matrix(offsets.cumsum(0), places[wanted], ones, shape))
