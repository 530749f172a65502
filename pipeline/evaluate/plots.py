"""Plots of how good the model is: segments, ROC and precision-recall, calibration, gates. Each a data URI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from pipeline.evaluate.console import name_of
from pipeline.evaluate.metrics import reliability_bins
from pipeline.evaluate.predict import TaskScores
from pipeline.evaluate.results import MODEL, ORACLE, SegmentResult, groups_of
from pipeline.evaluate.style import COLOURS, INK, QUIET, RULE, data_uri, figure, group_colour

MOST_SEGMENTS = 120
"""Plots with a line or column a segment show so many at most: those with the fewest positives."""
_GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True)
class Curves:
    """What the curves are drawn from: binary segments and, by who scored them, their labels and scores."""

    results: Sequence[SegmentResult]
    scores: Mapping[str, Sequence[TaskScores]]


def segments_plot(results: Sequence[SegmentResult], baselines: Sequence[str]) -> str:
    """AUC of every binary segment, in order of positives: model, baselines, oracle."""
    shown = sorted(_binary(results), key=lambda one: -one.support_positives)[-MOST_SEGMENTS:]
    with figure(10, 3.6) as (drawn, (axes,)):
        place = np.arange(len(shown))
        oracle = np.array([one.value(ORACLE) for one in shown])
        model = np.array([one.value(MODEL) for one in shown])
        if not np.isnan(oracle).all():
            axes.plot(place, oracle, "_", color=COLOURS[ORACLE], markersize=7, markeredgewidth=1.2, label="oracle")
        for who, marker in zip(baselines, "os^", strict=False):
            values = np.array([one.value(who) for one in shown])
            if who == "logistic_regression":
                axes.vlines(place, values, model, color=RULE, linewidth=2.5, zorder=1)
            colour = COLOURS.get(who, QUIET)
            axes.plot(place, values, marker, color=colour, markersize=3.5, mfc="white", label=name_of(who))
        axes.plot(place, model, "o", color=COLOURS[MODEL], markersize=4.5, label=name_of(MODEL))
        axes.set_xlim(-0.8, len(shown) - 0.2)
        axes.set_ylabel("test AUC")
        axes.set_xticks(place, [one.name for one in shown], rotation=90, fontsize=6 if len(shown) > 40 else 8)
        axes.grid(axis="x", visible=False)
        axes.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0), borderpad=0, fontsize=8)
        return data_uri(drawn)


def gain_plot(results: Sequence[SegmentResult], baselines: Sequence[str]) -> str:
    """By how much the model's AUC is above each baseline's, over positives in the support."""
    binary = _binary(results)
    groups = groups_of(binary)
    with figure(10, 3.0, len(baselines), sharey=True) as (drawn, plots):
        for axes, who in zip(plots, baselines, strict=True):
            for group in groups:
                members = [one for one in binary if one.group == group]
                gains = [one.value(MODEL) - one.value(who) for one in members]
                positives = [max(1, one.support_positives) for one in members]
                axes.plot(positives, gains, "o", color=group_colour(group, groups), markersize=4.5, label=group)
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.set_xscale("log")
            axes.set_title(f"against {name_of(who)}")
            axes.set_xlabel("positives in the support")
        plots[0].set_ylabel("AUC gained")
        plots[-1].legend(loc="best", fontsize=8)
        return data_uri(drawn)


def curves_plot(curves: Curves) -> str:
    """ROC and precision-recall, each the mean of the curves of a group's segments, model and logistic regression."""
    groups = groups_of(_binary(curves.results))
    with figure(10, 3.8, 2) as (drawn, (roc, recall)):
        for who, style in ((MODEL, "-"), ("logistic_regression", ":")):
            if who not in curves.scores:
                continue
            for group in groups:
                tasks = _with_both_classes(curves, who, group)
                if not tasks:
                    continue
                label = group if who == MODEL else None
                look: dict[str, Any] = {
                    "color": group_colour(group, groups),
                    "linestyle": style,
                    "linewidth": 1.6,
                    "label": label,
                }
                roc.plot(_GRID, np.mean([_roc(one) for one in tasks], axis=0), **look)
                recall.plot(_GRID, np.mean([_precision(one) for one in tasks], axis=0), **look)
        roc.plot([0, 1], [0, 1], color=RULE, linewidth=1)
        roc.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01), title="ROC")
        recall.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01), title="Precision and recall")
        recall.legend(loc="upper right", fontsize=8)
        return data_uri(drawn)


def calibration_plot(curves: Curves) -> str:
    """Share of positives against the mean score, the pairs of a group together; log axes, as most shares are small."""
    groups = groups_of(_binary(curves.results))
    with figure(10, 3.8, max(1, len(groups)), sharex=True, sharey=True) as (drawn, plots):
        lowest = 1e-1
        for axes, group in zip(plots, groups, strict=False):
            for who in (MODEL, "logistic_regression", "lightgbm"):
                tasks = _of_group(curves, who, group)
                if not tasks:
                    continue
                labels = np.concatenate([one.labels for one in tasks])
                bins = reliability_bins(labels, np.concatenate([one.scores for one in tasks]), 20)
                seen = bins["positives"] > 0
                lowest = min(lowest, *bins["score"][seen], *bins["positives"][seen])
                marker = "o-" if who == MODEL else ".--"
                look: dict[str, Any] = {"linewidth": 1.4 if who == MODEL else 0.9, "markersize": 4}
                axes.plot(
                    bins["score"][seen], bins["positives"][seen], marker, color=COLOURS[who], label=name_of(who), **look
                )
            axes.set_title(group)
            axes.set_xlabel("mean score")
        lowest = max(lowest / 2, 1e-5)
        for axes in plots:
            axes.plot([lowest, 1], [lowest, 1], color=QUIET, linewidth=0.8, zorder=1)
            axes.set(xscale="log", yscale="log", xlim=(lowest, 1), ylim=(lowest, 1), aspect="equal")
        plots[0].set_ylabel("share of positives")
        plots[0].legend(loc="upper left", fontsize=8)
        return data_uri(drawn)


def gates_plot(results: Sequence[SegmentResult], gates: NDArray[np.float64]) -> str:
    """gates [tasks, experts]: the mean share of each expert, a column a segment."""
    order = sorted(range(len(results)), key=lambda i: -results[i].support_positives)[-MOST_SEGMENTS:]
    experts = gates.shape[1]
    with figure(10, 0.35 * experts + 1.6) as (drawn, (axes,)):
        image = axes.imshow(gates[order].T, aspect="auto", cmap="Blues", vmin=gates.min(), vmax=gates.max())
        names = [results[i].name for i in order]
        axes.set_xticks(range(len(order)), names, rotation=90, fontsize=6 if len(order) > 40 else 8)
        axes.set_yticks(range(experts), [f"expert {index + 1}" for index in range(experts)])
        axes.grid(visible=False)
        drawn.colorbar(image, ax=axes, shrink=0.9, pad=0.01).outline.set_visible(False)
        return data_uri(drawn)


def _binary(results: Sequence[SegmentResult]) -> list[SegmentResult]:
    return [one for one in results if one.kind == "binary" and not np.isnan(one.value(MODEL))]


def _of_group(curves: Curves, who: str, group: str) -> list[TaskScores]:
    pairs = zip(curves.results, curves.scores.get(who, ()), strict=False)
    return [scores for one, scores in pairs if one.kind == "binary" and one.group == group and len(scores.labels)]


def _with_both_classes(curves: Curves, who: str, group: str) -> list[TaskScores]:
    return [one for one in _of_group(curves, who, group) if one.labels.min() < one.labels.max()]


def _roc(one: TaskScores) -> NDArray[np.float64]:
    """True positive rate at each false positive rate of the grid."""
    false, true, _ = roc_curve(one.labels, one.scores)
    return np.interp(_GRID, false, true)


def _precision(one: TaskScores) -> NDArray[np.float64]:
    """The best precision at each recall of the grid or more."""
    precision, recall, _ = precision_recall_curve(one.labels, one.scores)
    best = np.maximum.accumulate(precision)  # recall falls along the arrays
    return np.interp(_GRID, recall[::-1], best[::-1])
