"""Figures and tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spread(values: Sequence[float] | np.ndarray) -> str:
    """`mean ± standard deviation`, four digits; the mean alone for one value."""
    deviation = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{deviation}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
