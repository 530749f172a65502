"""Sparse CSR matrices, without torch's notice that their support is in beta."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


def csr_matrix(offsets: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A sparse CSR tensor; raises RuntimeError where offsets or columns do not fit the shape."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(offsets, columns, values, shape, check_invariants=True)


def transposed(matrix: Tensor) -> Tensor:
    """The transpose, in CSR form itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return matrix.t().to_sparse_csr()


def row_of_entry(matrix: Tensor) -> Tensor:
    """[nnz] int64: the row of each entry of a CSR matrix."""
    offsets = matrix.crow_indices()
    return torch.repeat_interleave(torch.arange(matrix.shape[0]), offsets[1:] - offsets[:-1])
