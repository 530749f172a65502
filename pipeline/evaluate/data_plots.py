"""Plots of the data by day: entities, concepts, growth, drift. Each a data URI, None where nothing is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from pipeline.evaluate.data_tables import SHIFTED, STABLE, concepts_by_source
from pipeline.evaluate.style import INK, QUIET, data_uri, figure

_SHADES = (INK, "#1f5fa8", "#c98a2b", "#8d949e", "#4a7c59", "#a05a7c")
_MOST_FIELDS = 24


def by_day_plot(unfold: Mapping[str, Any], profile: Mapping[str, Any]) -> str | None:
    """Entities and concepts that each source has on each day."""
    entities = {name: one.get("entities_by_day") or {} for name, one in unfold.get("sources", {}).items()}
    concepts = concepts_by_source(profile, "seen")
    if not any(len(days) > 1 for days in [*entities.values(), *concepts.values()]):
        return None
    sources = sorted({*entities, *concepts})
    with figure(10, 2.6, 2) as (drawn, (left, right)):
        for axes, title, counts in ((left, "Entities a day", entities), (right, "Concepts a day", concepts)):
            for index, name in enumerate(sources):
                if counts.get(name):
                    _line(axes, counts[name], _SHADES[index % len(_SHADES)], name)
            _dated(axes, title)
        left.legend(ncols=6, loc="lower left", bbox_to_anchor=(0, 1.16), borderpad=0, fontsize=8)
        return data_uri(drawn)


def growth_plot(profile: Mapping[str, Any]) -> str | None:
    """Concepts seen for the first time on each day, and how many there are by then."""
    days: dict[str, list[int]] = {}
    for of_field in profile.get("concepts_by_day", {}).values():
        for day, counts in of_field.items():
            total = days.setdefault(day, [0, 0])
            total[0] += counts["new"]
            total[1] += counts["new_kept"]
    if len(days) < 2:
        return None
    at = np.array(sorted(days), dtype="datetime64[D]")
    new, kept = np.array([days[day] for day in sorted(days)]).T
    with figure(10, 2.6, 2) as (drawn, (left, right)):
        left.bar(at, new, color="#9dbfe3", width=0.8 * profile.get("days_a_span", 1), label="all")
        left.bar(at, kept, color=_SHADES[1], width=0.4 * profile.get("days_a_span", 1), label="kept")
        left.legend(fontsize=8)
        _dated(left, "New concepts a day")
        right.plot(at, np.cumsum(new), color="#9dbfe3", linewidth=1.6, label="all")
        right.plot(at, np.cumsum(kept), color=_SHADES[1], linewidth=1.6, label="kept")
        _dated(right, "Concepts seen so far")
        return data_uri(drawn)


def drift_plot(profile: Mapping[str, Any]) -> str | None:
    """PSI of each field between the halves of the window, and of each of its periods against the first half."""
    drift: Mapping[str, Mapping[str, Any]] = profile.get("drift", {})
    known = sorted((name for name in drift if drift[name].get("psi") is not None), key=lambda name: -drift[name]["psi"])
    shown = known[:_MOST_FIELDS]
    if not shown:
        return None
    with figure(10, 0.2 * len(shown) + 1.1, 2) as (drawn, (halves, periods)):
        place = np.arange(len(shown))
        halves.barh(place, [drift[name]["psi"] for name in shown], color=_SHADES[1], height=0.65)
        chance = [drift[name].get("noise") or 0.0 for name in shown]
        halves.plot(chance, place, "|", color=INK, markersize=7, label="by chance")
        for edge in (STABLE, SHIFTED):
            halves.axvline(edge, color=QUIET, linewidth=0.8, linestyle=":")
        halves.set_yticks(place, shown, fontsize=7.5)
        halves.invert_yaxis()
        halves.grid(axis="y", visible=False)
        halves.legend(fontsize=8, loc="lower right")
        halves.set(title="PSI, last half against first")
        values = [[np.nan if one is None else one for one in drift[name]["by_period"]] for name in shown]
        image = periods.imshow(
            np.array(values), aspect="auto", cmap="Blues", vmin=0, vmax=max(SHIFTED, np.nanmax(values))
        )
        names = [day[5:] for day in profile["periods"]]
        periods.set_xticks(range(len(names)), names, fontsize=7.5)
        periods.set_yticks([])
        periods.grid(visible=False)
        periods.set(title="PSI of each period (its first day) against the first half")
        drawn.colorbar(image, ax=periods, shrink=0.9, pad=0.01).outline.set_visible(False)
        return data_uri(drawn)


def _line(axes: Axes, counts: Mapping[str, int], colour: str, label: str) -> None:
    at = np.array(sorted(counts), dtype="datetime64[D]")
    axes.plot(at, [counts[str(day)] for day in at], color=colour, linewidth=1.4, label=label)


def _dated(axes: Axes, title: str) -> None:
    axes.set_ylim(bottom=0)
    axes.set(title=title)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
