"""Concept embeddings before the first step: correspondence analysis of which concepts stand together in a row.

Correspondence analysis (Benzécri 1973; Greenacre, "Correspondence Analysis in Practice") is the truncated SVD of
    S = D_r^-1/2 (P - r c') D_c^-1/2,    P = X / sum(X), r and c its row and column sums,
the standardised residuals of the support's concept matrix X [rows, vocabulary]. With S = U diag(s) V', a row's factors
are the average of its concepts' standard coordinates D_c^-1/2 V: just the form of MetaAug's input, a weighted sum
of concept embeddings. So these coordinates are, in closed form, embeddings that auxiliary training learns slowly.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.sparse import csr_matrix, row_of_entry, transposed

_OVERSAMPLING = 10
_ITERATIONS = 5


def correspondence_embeddings(
    rows: Tensor, vocabulary_size: int, dim: int, seed: int, scale: float = 0.15, rank: int = 64
) -> Tensor:
    """[vocabulary_size, dim] float32: `scale` times the standard coordinates of the concepts (mean square by mass: 1).

    rows: sparse CSR [rows, vocabulary_size] of non-negative weights, such as a sample of the support. The leading
    min(rank, dim) dimensions come from the SVD, strongest first; the rest, and concepts in no row, are random and
    a tenth as large. The same for the same rows and seed.
    Raises ValueError for another layout or size and for negative weights.
    """
    if rows.layout != torch.sparse_csr or rows.shape[1] != vocabulary_size:
        raise ValueError(f"rows must be sparse CSR [rows, {vocabulary_size}], not {rows.layout} {tuple(rows.shape)}")
    if rows.values().numel() and rows.values().min() < 0:
        raise ValueError("correspondence analysis needs weights of at least 0")
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(vocabulary_size, dim, generator=generator) * (scale / 10)
    residuals = _Residuals(rows)
    present = residuals.columns.nonzero().squeeze(1)
    rank = min(rank, dim, int((residuals.rows > 0).sum()) - 1, present.numel() - 1)
    if rank < 1:
        return table
    vectors = _right_singular_vectors(residuals, rank, generator)
    coordinates = vectors[present] / residuals.columns[present].sqrt().unsqueeze(1)
    table[present, :rank] = (scale * coordinates).float()
    return table


def field_vectors(fields: Tensor, dim: int, seed: int, scale: float) -> Tensor:
    """[vocabulary, dim] float32: one random vector of deviation `scale` for each field, shared by its concepts.

    Added to embeddings that tell concepts of a field apart (correspondence analysis centres them), it lets a model see
    from the first step which fields a row has and which are missing. fields [vocabulary] int64.
    """
    generator = torch.Generator().manual_seed(seed)
    count = int(fields.max()) + 1 if fields.numel() else 0
    return (torch.randn(count, dim, generator=generator) * scale)[fields]


class _Residuals:
    """S as a linear operator: a sparse matrix less an outer product, never written out.

    rows [rows], columns [vocabulary]: the masses r and c.
    """

    def __init__(self, counts: Tensor) -> None:
        ids, values, of_entry = counts.col_indices(), counts.values().double(), row_of_entry(counts)
        values = values / values.sum().clamp(min=torch.finfo(torch.float64).tiny)
        self.rows = torch.zeros(counts.shape[0], dtype=torch.float64).index_add_(0, of_entry, values)
        self.columns = torch.zeros(counts.shape[1], dtype=torch.float64).index_add_(0, ids, values)
        scaled = values * (self.rows[of_entry] * self.columns[ids]).clamp(min=torch.finfo(torch.float64).tiny).rsqrt()
        self._matrix = csr_matrix(counts.crow_indices(), ids, scaled.float(), (counts.shape[0], counts.shape[1]))
        self._transpose = transposed(self._matrix)
        self._row_roots, self._column_roots = self.rows.sqrt().float(), self.columns.sqrt().float()

    def times(self, x: Tensor) -> Tensor:
        """S x: [vocabulary, k] -> [rows, k]."""
        return self._matrix @ x - torch.outer(self._row_roots, self._column_roots @ x)

    def transposed_times(self, y: Tensor) -> Tensor:
        """S' y: [rows, k] -> [vocabulary, k]."""
        return self._transpose @ y - torch.outer(self._column_roots, self._row_roots @ y)


def _right_singular_vectors(residuals: _Residuals, rank: int, generator: torch.Generator) -> Tensor:
    """[vocabulary, rank]: by subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4), strongest first.

    The sign of each is set so that its largest entry is positive.
    """
    width = min(rank + _OVERSAMPLING, residuals.rows.numel(), residuals.columns.numel())
    start = torch.randn(residuals.columns.numel(), width, generator=generator)
    basis = torch.linalg.qr(residuals.times(start)).Q
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(residuals.transposed_times(basis)).Q
        basis = torch.linalg.qr(residuals.times(basis)).Q
    vectors = torch.linalg.svd(residuals.transposed_times(basis), full_matrices=False).U[:, :rank]
    signs = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    return vectors * signs
