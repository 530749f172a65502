"""Concept embeddings by correspondence analysis."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.initial import correspondence_embeddings, field_vectors
from models.sparse import csr_matrix

CONCEPTS, FACTORS = 60, 3


def planted(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows whose concepts follow 3 latent factors: ([rows, concepts] CSR counts, [rows, 3] factors)."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(rows, FACTORS, generator=generator, dtype=torch.float64)
    directions = torch.randn(FACTORS, CONCEPTS, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    rates = torch.exp(0.4 * factors @ directions) * 0.5
    return torch.poisson(rates, generator=generator).float().to_sparse_csr(), factors


def explained(features: Tensor, factors: Tensor) -> Tensor:
    """[factors]: the share of each factor's variance that a linear fit of the features explains."""
    features = torch.cat([features, torch.ones(len(features), 1)], 1).double()
    residual = factors - features @ torch.linalg.lstsq(features, factors).solution
    return 1 - residual.var(0) / factors.var(0)


def test_sums_of_embeddings_tell_the_planted_factors() -> None:
    rows, _ = planted(3000)
    table = correspondence_embeddings(rows, CONCEPTS, dim=FACTORS, seed=0)
    fresh, factors = planted(1000, seed=1)
    fresh = fresh.to_dense()
    sums = fresh @ table / fresh.sum(1, keepdim=True).clamp(min=1)
    assert (explained(sums, factors) > 0.8).all()
    random = fresh @ torch.randn(CONCEPTS, FACTORS, generator=torch.Generator().manual_seed(0))
    assert explained(random, factors).mean() < 0.5


def test_equals_the_dense_decomposition() -> None:
    rows, _ = planted(400)
    dense = rows.to_dense().double()
    p = dense / dense.sum()
    r, c = p.sum(1), p.sum(0)
    keep = r > 0
    residuals = ((p - torch.outer(r, c)) / torch.outer(r, c).sqrt())[keep]
    _, _, vt = torch.linalg.svd(residuals, full_matrices=False)
    expected = 0.15 * vt[:FACTORS].T / c.sqrt()[:, None]
    table = correspondence_embeddings(rows, CONCEPTS, dim=FACTORS, seed=0).double()
    signs = (expected * table).sum(0).sign()
    torch.testing.assert_close(table * signs, expected, rtol=0, atol=0.02)
    torch.testing.assert_close((c[:, None] * table**2).sum(0).sqrt(), torch.full((FACTORS,), 0.15, dtype=torch.float64))


def test_the_same_seed_gives_the_same_table() -> None:
    rows, _ = planted(300)
    first, second = (correspondence_embeddings(rows, CONCEPTS, dim=8, seed=4) for _ in range(2))
    assert torch.equal(first, second)


def test_dimensions_past_the_rank_and_absent_concepts_are_small_and_random() -> None:
    rows, _ = planted(300)
    wider = csr_matrix(rows.crow_indices(), rows.col_indices(), rows.values(), (300, CONCEPTS + 5))
    table = correspondence_embeddings(wider, CONCEPTS + 5, dim=40, seed=0, rank=10)
    assert table[:, 10:].std() == pytest.approx(0.015, rel=0.1)
    assert table[CONCEPTS:].std() == pytest.approx(0.015, rel=0.3)
    assert table[:CONCEPTS, :10].std() > 0.1
    assert (table != 0).all()


@pytest.mark.parametrize("rows", [torch.zeros(0, 4), torch.zeros(3, 4), torch.eye(1, 4), torch.ones(5, 4)])
def test_too_little_to_decompose_still_gives_a_table(rows: Tensor) -> None:
    table = correspondence_embeddings(rows.to_sparse_csr(), 4, dim=3, seed=0)
    assert table.shape == (4, 3)
    assert torch.isfinite(table).all()


def test_bad_matrices_are_refused() -> None:
    with pytest.raises(ValueError, match="sparse CSR"):
        correspondence_embeddings(torch.ones(2, 4), 4, dim=2, seed=0)
    with pytest.raises(ValueError, match="sparse CSR"):
        correspondence_embeddings(torch.ones(2, 3).to_sparse_csr(), 4, dim=2, seed=0)
    with pytest.raises(ValueError, match="at least 0"):
        correspondence_embeddings(-torch.ones(2, 4).to_sparse_csr(), 4, dim=2, seed=0)


def test_concepts_of_a_field_share_a_vector():
    fields = torch.tensor([0, 2, 0, 1, 2])
    vectors = field_vectors(fields, dim=1000, seed=3, scale=0.5)
    assert vectors.shape == (5, 1000)
    assert torch.equal(vectors[0], vectors[2])
    assert torch.equal(vectors[1], vectors[4])
    assert not torch.equal(vectors[0], vectors[1])
    assert vectors[3].std().item() == pytest.approx(0.5, rel=0.1)
    assert torch.equal(vectors, field_vectors(fields, dim=1000, seed=3, scale=0.5))
    assert field_vectors(fields[:0], dim=4, seed=0, scale=1.0).shape == (0, 4)
