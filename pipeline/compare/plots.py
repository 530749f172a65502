"""The comparison as a page: box plot (MetaCon Fig 5), cost (Fig 6), passes (Fig 7), change and cost (Fig 8)."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from pipeline.compare.change_plot import change_plot
from pipeline.compare.passes import mean_curve
from pipeline.compare.statistics import Results
from pipeline.evaluate.style import COLOURS, INK, QUIET, data_uri, figure
from pipeline.experiment_table import ORACLE

if TYPE_CHECKING:
    from pipeline.compare.table import Comparison, ModelFacts

_CSS = """body{font:15px/1.5 system-ui,sans-serif;color:#1c2530;max-width:1080px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0;font-size:14px}td,th{padding:.25rem .7rem;text-align:right;
border-bottom:1px solid #e3e6ea}td:first-child,th:first-child{text-align:left}th{color:#6b7480;font-weight:600}
img{max-width:100%}p{color:#444d58}"""


def page(comparison: Comparison, text: str) -> str:
    """The Markdown of the tables and the plots as one HTML file."""
    name, results, models, ours = comparison.name, comparison.results, comparison.models, comparison.ours
    against = next((label for label in models if label == comparison.baseline), ours)
    plots: list[tuple[str, str | None]] = [
        ("AUC over segments", box_plot(results)),
        ("Change of segments and of cost", change_plot(results, models, against)),
        ("AUC against cost", gain_plot(results, models, ours)),
        ("Cost", cost_plot(models)),
        ("Validation AUC after each pass", passes_plot(models, ours)),
    ]
    drawn = "".join(f'<h2>{title}</h2><img alt="{title}" src="{uri}">' for title, uri in plots if uri)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(name)}: models compared</title>"
        f"<style>{_CSS}</style><body>{_as_html(text)}{drawn}</body></html>\n"
    )


def box_plot(results: Results) -> str:
    """For each label the AUCs of all segments, means over seeds."""
    labels = list(results.auc)
    values = [results.by_segment(label) for label in labels]
    with figure(10, 0.4 * len(labels) + 1) as (drawn, (axes,)):
        axes.boxplot(
            [one[~np.isnan(one)] for one in values],
            orientation="horizontal",
            tick_labels=labels,
            showmeans=True,
            medianprops={"color": INK},
            meanprops={"marker": "D", "markersize": 4, "markerfacecolor": COLOURS["model"], "markeredgewidth": 0},
            flierprops={"marker": ".", "markersize": 4, "markeredgecolor": QUIET},
        )
        axes.invert_yaxis()
        axes.set_xlabel("test AUC of a segment (line: median, diamond: mean)")
        return data_uri(drawn)


def gain_plot(results: Results, models: Mapping[str, ModelFacts], ours: str) -> str:
    """Mean AUC over counted operations a row."""
    with figure(10, 3.6) as (drawn, (axes,)):
        for label, facts in models.items():
            place = (max(facts.flops_per_row, 1.0) / 1e3, float(results.by_seed(label).mean()))
            axes.plot(*place, "o", color=COLOURS["model"] if label == ours else QUIET)
            axes.annotate(label, place, textcoords="offset points", xytext=(5, 4), fontsize=8)
        for label in results.auc:
            if label not in models and label != ORACLE:
                axes.axhline(float(results.by_seed(label).mean()), color=COLOURS.get(label, QUIET), linewidth=1)
                axes.text(1.0, float(results.by_seed(label).mean()), label, transform=axes.get_yaxis_transform())
        axes.set_xscale("log")
        axes.set_xlabel("kFLOP a row, all segments")
        axes.set_ylabel("mean test AUC")
        return data_uri(drawn)


def cost_plot(models: Mapping[str, ModelFacts]) -> str:
    """Bars: parameters without tables, operations, time a row, memory of a training pass, time an epoch."""
    labels = list(models)
    bars: dict[str, list[float]] = {
        "parameters without tables": [one.network_parameters for one in models.values()],
        "kFLOP a row": [one.flops_per_row / 1e3 for one in models.values()],
        "µs a row": [one.row_microseconds for one in models.values()],
        "MB training": [one.training_bytes / 1e6 for one in models.values()],
        "s an epoch": [one.epoch_seconds for one in models.values()],
    }
    with figure(11, 0.3 * len(labels) + 1, len(bars), sharey=True) as (drawn, plots):
        for axes, (title, values) in zip(plots, bars.items(), strict=True):
            axes.barh(labels, values, color=COLOURS["model"])
            axes.set_title(title)
            axes.grid(axis="y", visible=False)
        plots[0].invert_yaxis()
        return data_uri(drawn)


def passes_plot(models: Mapping[str, ModelFacts], ours: str) -> str | None:
    """For each label the mean over seeds after 0, 1, 2 … passes; None where nothing was validated."""
    curves = {label: mean_curve(facts.passes) for label, facts in models.items()}
    curves = {label: curve for label, curve in curves.items() if curve}
    if not curves:
        return None
    with figure(10, 4.2) as (drawn, (axes,)):
        shades = plt.get_cmap("tab20")
        for number, (label, curve) in enumerate(curves.items()):
            colour = COLOURS["model"] if label == ours else shades(number % 20)
            width = 2.4 if label == ours else 1.1
            axes.plot(list(curve), list(curve.values()), "o-", color=colour, linewidth=width, markersize=3, label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("passes over the support")
        axes.set_ylabel("mean validation AUC")
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        return data_uri(drawn)


def _as_html(text: str) -> str:
    """Our own Markdown: a heading, paragraphs, tables with ** for the best."""
    parts = []
    for block in text.strip().split("\n\n"):
        if block.startswith("# "):
            parts.append(f"<h1>{html.escape(block[2:])}</h1>")
        elif block.startswith("|"):
            head, _, *rows = [line.strip("| ").split(" | ") for line in block.splitlines()]
            cells = [f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in head)}</tr>"]
            cells += [f"<tr>{''.join(f'<td>{_bold(cell)}</td>' for cell in row)}</tr>" for row in rows]
            parts.append(f"<table>{''.join(cells)}</table>")
        else:
            parts.append(f"<p>{html.escape(block)}</p>")
    return "\n".join(parts)


def _bold(cell: str) -> str:
    return f"<b>{html.escape(cell.strip('*'))}</b>" if cell.startswith("**") else html.escape(cell)
