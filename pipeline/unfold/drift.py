"""Drift: how differently a field's values are distributed, by the population stability index (PSI).

    PSI = Σ (b - a) ln(b / a)      a, b: the share of a value in two sets of rows

The values are the most frequent ones of the field and one for the rest. Shares are (rows + 1/2) / (all rows + 1/2 of
the number of values), so that a value which one set lacks counts, but not without bound. Below .1 a field is usually
called stable, from .25 on shifted. Of sets of m and n rows from one distribution of B values PSI is about
(B - 1) (1/m + 1/n) by chance: `noise`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def psi(before: Sequence[float], after: Sequence[float]) -> float | None:
    """The index of two sets of rows, counted by value; None where one has none."""
    rows = (sum(before), sum(after))
    if not all(rows):
        return None
    values = len(before)
    total = 0.0
    for one, other in zip(before, after, strict=True):
        a, b = (one + 0.5) / (rows[0] + 0.5 * values), (other + 0.5) / (rows[1] + 0.5 * values)
        total += (b - a) * math.log(b / a)
    return total


def noise(before: Sequence[float], after: Sequence[float]) -> float | None:
    """What the index is on average where nothing has changed."""
    rows = (sum(before), sum(after))
    return (len(before) - 1) * (1 / rows[0] + 1 / rows[1]) if all(rows) else None


def drift_within(by_period: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Drift of a field between the halves of its periods, and of each period against the first half.

    by_period: rows by value (the last one the rest) of each period. Periods without rows are left out: a field of a
    window of 7 days has none before. `psi` is None where fewer than two are left.
    """
    full = [index for index, rows in enumerate(by_period) if sum(rows)]
    early, late = full[: len(full) // 2], full[len(full) // 2 :]
    before, after = _sum(by_period, early), _sum(by_period, late)
    found = psi(before, after) if early else None
    return {
        "psi": found,
        "noise": noise(before, after) if found is not None else None,
        "by_period": [psi(before, rows) if early else None for rows in by_period],
    }


def _sum(by_period: Sequence[Sequence[float]], which: Sequence[int]) -> list[float]:
    return [sum(by_period[index][value] for index in which) for value in range(len(by_period[0]) if by_period else 0)]
