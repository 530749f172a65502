"""What each model changes, segment by segment, and what that costs (MetaCon Fig 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.compare.statistics import Results
from pipeline.evaluate.style import COLOURS, INK, QUIET, data_uri, figure

if TYPE_CHECKING:
    from pipeline.compare.table import ModelFacts


def change_plot(results: Results, models: Mapping[str, ModelFacts], against: str) -> str | None:
    """Left: a box a model, of its segments' relative change in AUC; right: the change in time a row. In per cent.

    None where there is no other model.
    """
    others = [label for label in models if label != against]
    if not others:
        return None
    base, time = results.by_segment(against), models[against].row_microseconds
    changes = [100 * (results.by_segment(label) / base - 1) for label in others]
    costs = [100 * (models[label].row_microseconds / max(1e-9, time) - 1) for label in others]
    with figure(11, 0.4 * len(others) + 1, 2, sharey=True) as (drawn, (quality, cost)):
        quality.boxplot(
            [change[~np.isnan(change)] for change in changes],
            orientation="horizontal",
            positions=range(len(others)),
            tick_labels=others,
            showmeans=True,
            medianprops={"color": INK},
            meanprops={"marker": "D", "markersize": 4, "markerfacecolor": COLOURS["model"], "markeredgewidth": 0},
            flierprops={"marker": ".", "markersize": 4, "markeredgecolor": QUIET},
        )
        cost.barh(range(len(others)), costs, color=COLOURS["model"])
        for axes, what in ((quality, "test AUC of a segment"), (cost, "time a row")):
            axes.axvline(0, color=INK, linewidth=0.8)
            axes.set_xlabel(f"change of {what} against {against}, %")
        quality.invert_yaxis()
        cost.grid(axis="y", visible=False)
        return data_uri(drawn)
