"""The report's table of segments: reach and quality of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.evaluate.console import name_of, number
from pipeline.evaluate.results import MODEL, ORACLE, SegmentResult, groups_of

MAIN = {"binary": "auc", "multiclass": "auc", "regression": "r2"}
"""The metric that stands in the columns of AUC."""
_REFERENCE = "logistic_regression"


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    text: Callable[[SegmentResult], str]
    tone: Callable[[SegmentResult], str] = lambda _: ""


def segments_table(results: Sequence[SegmentResult], baselines: Sequence[str]) -> dict[str, Any]:
    """Headings, rows and a note; columns that no segment has anything for are left out."""
    columns = [
        _Column("positives to learn from", lambda one: f"{one.support_positives:,}"),
        _Column("in query", lambda one: f"{one.query_positives:,}", lambda _: "quiet"),
        _Column("AUC", lambda one: number(_main(one, MODEL))),
    ]
    has_oracle = any(ORACLE in one.metrics for one in results)
    for who in (*baselines, *([ORACLE] if has_oracle else [])):
        columns.append(_Column(name_of(who), lambda one, who=who: number(_main(one, who)), lambda _: "quiet"))  # type: ignore[misc]
    if _REFERENCE in baselines:
        columns.append(_Column("Δ", lambda one: _signed(_gain(one)), lambda one: _tone(_gain(one))))
    columns += [
        _Column("F1", lambda one: number(one.value(MODEL, "f1"), 3)),
        _Column("ECE", lambda one: number(one.value(MODEL, "ece"))),
        _Column("threshold", lambda one: number(one.threshold, 3)),
    ]
    if any(one.reach for one in results):
        columns += [_Column("reach", _selected), _Column("share", _share, lambda _: "quiet")]
    notes = ["Δ is the AUC gained over logistic regression."] if _REFERENCE in baselines else []
    if any(one.reach for one in results):
        notes.append("Reach is how many of all scored entities the segment selects.")
    if any(one.kind != "binary" for one in results):
        notes.append("The AUC of multiclass segments is the mean of one class against the rest; regressions have R².")
    return {
        "headings": ["segment", "group", *(column.heading for column in columns)],
        "rows": [
            {
                "name": one.name,
                "group": one.group if one.kind == "binary" else f"{one.group}, {one.kind}",
                "cells": [{"text": column.text(one), "tone": column.tone(one)} for column in columns],
            }
            for one in in_order(results)
        ],
        "note": " ".join(notes),
    }


def in_order(results: Sequence[SegmentResult]) -> list[SegmentResult]:
    """By group, then by positives, the many first."""
    places = {name: place for place, name in enumerate(groups_of(results))}
    return sorted(results, key=lambda one: (places[one.group], -one.support_positives, one.name))


def _main(one: SegmentResult, who: str) -> float:
    return one.value(who, MAIN[one.kind])


def _gain(one: SegmentResult) -> float:
    return _main(one, MODEL) - _main(one, _REFERENCE)


def _signed(gain: float) -> str:
    return "–" if math.isnan(gain) else f"{gain:+.4f}".replace("-", "−")


def _tone(gain: float) -> str:
    return "up" if gain > 0 else "down" if gain < 0 else ""


def _selected(one: SegmentResult) -> str:
    selected = one.reach.get("selected")
    return "–" if selected is None else f"{selected:,.0f}"


def _share(one: SegmentResult) -> str:
    selected, scored = one.reach.get("selected"), one.reach.get("scored")
    return "–" if selected is None or not scored else f"{100 * selected / scored:.1f} %"
