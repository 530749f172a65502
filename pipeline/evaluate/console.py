"""The result in words: as a table in the terminal, and as sentences for terminal and report."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from pipeline.evaluate.results import MODEL, ORACLE

NAMES = {MODEL: "model", "logistic_regression": "logistic regression", "lightgbm": "LightGBM", ORACLE: "oracle"}


def print_results(facts: Mapping[str, Any], to: TextIO | None = None) -> None:
    """Mean AUC by group for the model and all it is compared with, the gap closed, and who wins on how many."""
    lines = ["", "Mean test AUC over segments", ""]
    if facts["groups"]:
        whos = columns_of(facts)
        rows = [["segments", "n", *(name_of(who) for who in whos)]]
        for group, means in facts["groups"].items():
            cells = [number(means[who]["auc"]) if who in means else "–" for who in whos]
            rows.append([group, str(means["segments"]), *cells])
        lines = [*lines, *aligned(rows), ""]
    for kind in ("multiclass", "regression"):
        for who, means in facts.get(kind, {}).items():
            if isinstance(means, Mapping):
                figures = ", ".join(f"{name} {number(value)}" for name, value in means.items())
                lines.append(f"{kind} segments, {name_of(who)}: {figures}")
    for who, figures in facts.get("published", {}).items():
        lines += ["", *_beside(facts["groups"]["all"][MODEL], who, figures)]
    (to or sys.stdout).write("\n".join([*lines, *sentences(facts), ""]) + "\n")


def _beside(model: Mapping[str, float], who: str, figures: Mapping[str, float]) -> list[str]:
    """The model's means beside somebody else's figures, metric by metric."""
    names = list(figures)
    rows = [(name_of(MODEL), [model[name] for name in names]), (who, list(figures.values()))]
    return aligned([["", *names], *([label, *map(number, values)] for label, values in rows)])


def sentences(facts: Mapping[str, Any]) -> list[str]:
    """What the figures say."""
    lines = []
    for group, means in facts["groups"].items():
        best = means.get("best_baseline")
        if best is not None:
            shares = means["gap_closed"]
            line = f"{group}: {percent(shares[best])} of the gap from the best baseline ({name_of(best)}) to the oracle"
            other = "logistic_regression"
            if other in shares and other != best:
                line += f", {percent(shares[other])} of that from {name_of(other)}"
            lines.append(line + " closed")
    for baseline, wins in facts.get("wins", {}).items():
        judged = wins["wins"] + wins["losses"] + wins["ties"]
        lines.append(
            f"above {name_of(baseline)} on {wins['wins']} of {judged} segments (sign test p = {wins['p_value']:.2g})"
        )
    for link in facts.get("chains", []):
        own = link["of"].get(MODEL)
        if own:
            where = f"P({link['later']}) above P({link['before']})"
            lines.append(f"{where}: on {100 * own['violations']:.2f} % of rows, by {own['excess']:.2g} in the mean")
    return lines


def columns_of(facts: Mapping[str, Any]) -> list[str]:
    """The model, the baselines, and the oracle where it is known."""
    present = facts["groups"].get("all", {})
    return [who for who in (MODEL, *facts["baselines"], ORACLE) if who in present]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right, a rule under the first row."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


def name_of(who: str) -> str:
    return NAMES.get(who, who)


def number(value: float | None, digits: int = 4) -> str:
    """A figure, or a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{100 * value:.0f} %".replace("-", "−")
