"""Plots of what the stages before did: training, events, timings. Each a data URI, None where nothing is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.dates as mdates
import numpy as np
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from pipeline.evaluate.results import MODEL
from pipeline.evaluate.style import COLOURS, INK, QUIET, data_uri, figure, group_colour

_MOST_FIELDS = 24


def training_plot(log: Sequence[Mapping[str, Any]]) -> str | None:
    """The loss over steps, and the validation metric after each epoch, mean and by group."""
    steps = _whole_batches([line for line in log if line.get("kind") == "step" and "loss" in line])
    epochs = [line for line in log if line.get("kind") == "epoch"]
    if not steps and not epochs:
        return None
    with figure(10, 3.2, 2) as (drawn, (loss, quality)):
        if steps:
            at = np.array([line["step"] for line in steps])
            values = np.array([float(line["loss"]) for line in steps])
            loss.plot(at, values, color=COLOURS[MODEL], linewidth=0.7, alpha=0.35)
            loss.plot(at, _smooth(values), color=COLOURS[MODEL], linewidth=1.6)
        loss.set(title="Training loss", xlabel="step")
        names = sorted({name for line in epochs for name in line["validation"].get("groups", {})})
        for name in ("mean", *names):
            points = [(line["epoch"] + 1, _validation(line, name)) for line in epochs]
            known = [(epoch, value) for epoch, value in points if value is not None]
            colour = INK if name == "mean" else group_colour(name, names)
            if known:
                quality.plot(*zip(*known, strict=True), "o-", color=colour, markersize=3, linewidth=1.4, label=name)
        best = epochs[-1].get("best_epoch") if epochs else None
        if best is not None:
            quality.axvline(best + 1, color=QUIET, linewidth=0.8, linestyle=":")
        quality.set(title="Validation AUC (dotted: the epoch kept)", xlabel="epoch")
        quality.xaxis.set_major_locator(MaxNLocator(integer=True))
        if epochs:
            quality.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        return data_uri(drawn)


def events_plot(sources: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Events a day of each source that has times."""
    timed = {name: facts["rows_by_day"] for name, facts in sources.items() if len(facts.get("rows_by_day") or {}) > 1}
    if not timed:
        return None
    shades = (INK, "#1f5fa8", "#c98a2b", "#8d949e", "#4a7c59", "#a05a7c")
    with figure(10, 2.6) as (drawn, (axes,)):
        for index, (name, days) in enumerate(sorted(timed.items())):
            at = np.array(sorted(days), dtype="datetime64[D]")
            colour = shades[index % len(shades)]
            axes.plot(at, [days[str(day)] for day in at], color=colour, linewidth=1.4, label=name)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
        axes.set_ylabel("events a day")
        axes.legend(ncols=6, loc="lower left", bbox_to_anchor=(0, 1.0), borderpad=0, fontsize=8)
        return data_uri(drawn)


def fields_plot(fields: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Concepts kept of each field, and the entities that have the field."""
    shown = sorted(fields.items(), key=lambda item: -item[1].get("kept", 0))[:_MOST_FIELDS]
    if not shown:
        return None
    with figure(10, 0.19 * len(shown) + 0.9, 2, sharey=True) as (drawn, (kept, entities)):
        place = np.arange(len(shown))
        kept.barh(place, [facts.get("kept", 0) for _, facts in shown], color=COLOURS[MODEL], height=0.65)
        entities.barh(place, [facts.get("entities", 0) for _, facts in shown], color="#9dbfe3", height=0.65)
        kept.set_yticks(place, [name for name, _ in shown], fontsize=7.5)
        kept.invert_yaxis()
        kept.set(title="Concepts kept")
        kept.set_xscale("log")
        entities.set(title="Entities with the field")
        entities.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        for axes in (kept, entities):
            axes.grid(axis="y", visible=False)
        return data_uri(drawn)


def timings_plot(seconds: Mapping[str, float]) -> str | None:
    """Seconds of each stage."""
    if not seconds:
        return None
    with figure(10, 0.24 * len(seconds) + 0.5) as (drawn, (axes,)):
        place = np.arange(len(seconds))
        axes.barh(place, list(seconds.values()), color=COLOURS[MODEL], height=0.6)
        for at, value in zip(place, seconds.values(), strict=True):
            axes.annotate(f"{value:,.0f} s", (value, at), xytext=(4, 0), textcoords="offset points", va="center")
        axes.set_yticks(place, list(seconds))
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.grid(axis="y", visible=False)
        return data_uri(drawn)


def _validation(line: Mapping[str, Any], name: str) -> float | None:
    found = line["validation"]
    value = found.get("mean") if name == "mean" else found.get("groups", {}).get(name)
    return None if value is None else float(value)


def _whole_batches(steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Without the last step of each epoch: its batch is what is left over, and its loss a share of a whole one's."""
    following = [line.get("epoch") for line in steps[1:]]
    kept = [line for line, after in zip(steps, following, strict=False) if line.get("epoch") == after]
    return kept or list(steps)


def _smooth(values: np.ndarray) -> np.ndarray:
    """A running mean over a twentieth of the run."""
    width = max(1, len(values) // 20)
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")
