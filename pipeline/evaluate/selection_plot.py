"""How many inducing points are on, and where rows with many and few of them lie (APEM's Figure 7)."""

from __future__ import annotations

import numpy as np

from pipeline.evaluate.selection import Selection
from pipeline.evaluate.style import QUIET, data_uri, figure

_EXTREME = 0.01
"""The share of rows with the highest and the lowest rates that is drawn in colour, but at least ten."""
_LOW, _HIGH = "#1f5fa8", "#4a7c59"


def selection_plot(selection: Selection) -> str:
    """Left: the distribution of the rate over rows, a line a layer; right: rows in the plane."""
    rates = selection.rates
    with figure(10, 3.6, 2) as (drawn, (shares, plane)):
        for layer in range(rates.shape[1]):
            counts, edges = np.histogram(rates[:, layer], bins=20, range=(0, 1))
            label = f"layer {layer + 1}: {rates[:, layer].mean():.2f}"
            shares.stairs(counts / len(rates), edges, label=label, linewidth=1.4)
        shares.set(xlabel="share of inducing points that are on", ylabel="share of rows", title="Selection rate")
        shares.legend(fontsize=8)
        mean = rates.mean(axis=1)
        order, few = np.argsort(mean, kind="stable"), max(10, round(_EXTREME * len(mean)))
        parts = {"middle": (order, QUIET, 3.0)}
        if mean.min() < mean.max():
            parts |= {"lowest": (order[:few], _LOW, 16.0), "highest": (order[-few:], _HIGH, 16.0)}
        for name, (rows, colour, size) in parts.items():
            across, up = selection.places[rows].T
            plane.scatter(across, up, s=size, color=colour, linewidths=0, label=name)
        plane.set(xlabel="first principal component", ylabel="second", title="Rows by their rate")
        plane.legend(fontsize=8)
        return data_uri(drawn)
