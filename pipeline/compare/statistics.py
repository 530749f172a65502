"""What a comparison says: means, ranks, and paired tests over segments corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, ttest_rel, wilcoxon


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """auc: label -> [seeds, segments], NaN where a segment has none; a reference (baseline, oracle) may have one row.

    groups [segments]: the group of each.
    """

    segments: Sequence[str]
    groups: Sequence[str]
    auc: Mapping[str, NDArray[np.float64]]

    def by_segment(self, label: str) -> NDArray[np.float64]:
        """[segments]: the mean over seeds."""
        return np.asarray(self.auc[label].mean(axis=0))

    def by_seed(self, label: str, group: str = "all") -> NDArray[np.float64]:
        """[seeds]: the mean over a group's segments."""
        inside = np.array([group in ("all", one) for one in self.groups])
        return np.asarray(np.nanmean(self.auc[label][:, inside], axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """Paired tests over segments of ours against another, both by their means over seeds.

    difference: ours less the other's. Two-sided p-values, corrected by Holm's method for all tests of the table:
    p_value of the t-test, rank_p_value of Wilcoxon's signed-rank test. The latter is what is advised for many data
    sets (Demšar 2006): a few small segments whose AUC is mostly chance widen the t-test, but hardly move ranks.
    """

    difference: float
    wins: int
    losses: int
    p_value: float
    rank_p_value: float


def paired_tests(results: Results, ours: str, others: Sequence[str]) -> dict[str, Test]:
    """Ours against each other over the segments that both have."""
    differences = {}
    for other in others:
        difference = results.by_segment(ours) - results.by_segment(other)
        differences[other] = difference[~np.isnan(difference)]
    by_mean = holm([_p_value(difference) for difference in differences.values()])
    by_rank = holm([_rank_p_value(difference) for difference in differences.values()])
    return {
        other: Test(
            difference=float(difference.mean()) if len(difference) else float("nan"),
            wins=int((difference > 0).sum()),
            losses=int((difference < 0).sum()),
            p_value=p_value,
            rank_p_value=rank_p_value,
        )
        for (other, difference), p_value, rank_p_value in zip(differences.items(), by_mean, by_rank, strict=True)
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) correction: the i-th smallest of m is multiplied by m - i, and none is below one before it."""
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)
    factors = len(values) - np.arange(len(values))
    corrected = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    back = np.empty_like(corrected)
    back[order] = corrected
    return [float(value) for value in back]


def average_ranks(results: Results, labels: Sequence[str]) -> dict[str, float]:
    """The mean over segments of each label's rank by AUC, 1 the best; segments that one of them lacks are left out."""
    table = np.stack([results.by_segment(label) for label in labels])
    table = table[:, ~np.isnan(table).any(axis=0)]
    ranks = rankdata(-table, axis=0)
    return {label: float(rank) for label, rank in zip(labels, ranks.mean(axis=1), strict=True)}


def _p_value(difference: NDArray[np.float64]) -> float:
    if len(difference) < 2 or not np.any(difference):
        return 1.0
    if np.ptp(difference) == 0:
        return 0.0
    return float(ttest_rel(difference, np.zeros_like(difference)).pvalue)


def _rank_p_value(difference: NDArray[np.float64]) -> float:
    if not np.any(difference):
        return 1.0
    return float(wilcoxon(difference).pvalue)
