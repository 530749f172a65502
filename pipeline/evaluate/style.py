"""How all plots look: few colours, thin lines, no frame; and a figure as a data URI."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluate.results import MODEL, ORACLE

INK, QUIET, RULE = "#1c2530", "#6b7480", "#e3e6ea"
COLOURS = {MODEL: "#1f5fa8", "logistic_regression": "#8d949e", "lightgbm": "#c98a2b", ORACLE: INK}
GROUP_COLOURS = {"large": "#9dbfe3", "mid": "#4f8bc9", "niche": "#143f75"}
_OTHERS = ("#4a7c59", "#a05a7c", "#7a6fb0", "#b0712e")
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": QUIET,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "metacon",
}


@contextmanager
def figure(width: float, height: float, columns: int = 1, **options: Any) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of `columns` plots side by side in the common style; closed on leaving."""
    with plt.rc_context(_STYLE):
        drawn, axes = plt.subplots(1, columns, figsize=(width, height), squeeze=False, layout="constrained", **options)
        try:
            yield drawn, list(axes[0])
        finally:
            plt.close(drawn)


def data_uri(drawn: Figure) -> str:
    """The figure as an SVG data URI; the same bytes for the same figure."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def group_colour(group: str, groups: list[str]) -> str:
    others = [name for name in groups if name not in GROUP_COLOURS]
    return GROUP_COLOURS.get(group) or _OTHERS[others.index(group) % len(_OTHERS)]
