"""What the report's tables say: headline cards, means, segments, data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evaluate import chains
from pipeline.evaluate.console import columns_of, name_of, number, percent
from pipeline.evaluate.results import MODEL, ORACLE

LOWER_IS_BETTER = {"log_loss", "log_loss_on_decisions", "ece", "mae", "rmse"}
HEADINGS = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "f1": "F1",
    "kappa": "kappa",
    "log_loss": "log loss",
    "log_loss_on_decisions": "on decisions",
    "ece": "ECE",
    "average_precision": "average precision",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
}


def cards(facts: Mapping[str, Any], score: Mapping[str, Any]) -> list[dict[str, str]]:
    """The headline: the niche segments where there are any, else all."""
    group = "niche" if "niche" in facts["groups"] else "all"
    means = facts["groups"].get(group, {})
    cards = []
    if MODEL in means:
        others = ", ".join(f"{name_of(who)} {number(means[who]['auc'])}" for who in columns_of(facts)[1:])
        cards.append((number(means[MODEL]["auc"]), f"mean AUC of {means['segments']} {group} segments; {others}"))
        if group != "all":
            every = facts["groups"]["all"]
            cards.append((number(every[MODEL]["auc"]), f"mean AUC of all {every['segments']} segments"))
    if means.get("best_baseline"):
        best = means["best_baseline"]
        label = f"of the gap from {name_of(best)} to the oracle closed ({group})"
        cards.append((percent(means["gap_closed"][best]), label))
    wins = facts["wins"].get("logistic_regression")
    if wins:
        judged = wins["wins"] + wins["losses"] + wins["ties"]
        cards.append((f"{wins['wins']} of {judged}", f"segments above logistic regression, p = {wins['p_value']:.2g}"))
    if score.get("entities"):
        cards.append((f"{score['entities']:,}", f"entities scored, {score['rows']:,} predictions"))
    return [{"value": value, "label": label} for value, label in cards]


def mean_tables(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Binary segments by group; the other kinds, where there are any."""
    tables = []
    columns = [name for name in HEADINGS if name not in ("mae", "rmse", "r2")]
    if facts["groups"]:
        rows = []
        for group, means in facts["groups"].items():
            for place, who in enumerate(columns_of(facts)):
                compared = [means[one] for one in columns_of(facts) if one != ORACLE and one in means]
                if who in means:
                    label = f"{group} ({means['segments']})" if place == 0 else ""
                    rows.append(_mean_row(label, who, means[who], columns, compared))
        for who, means in facts.get("published", {}).items():
            rows.append(_mean_row(f"all ({facts['groups']['all']['segments']})", who, means, columns, [means]))
        tables.append({"headings": ["segments", "", *(HEADINGS[name] for name in columns)], "rows": rows})
    for kind in ("multiclass", "regression"):
        means = {who: one for who, one in facts.get(kind, {}).items() if isinstance(one, Mapping)}
        if means:
            names = list(next(iter(means.values())))
            rows = [
                _mean_row(f"{kind} ({facts[kind]['segments']})" if not place else "", who, one, names, means.values())
                for place, (who, one) in enumerate(means.items())
            ]
            tables.append({"headings": ["segments", "", *(HEADINGS[name] for name in names)], "rows": rows})
    return tables


def _mean_row(
    label: str, who: str, means: Mapping[str, float], columns: Sequence[str], compared: Any
) -> dict[str, Any]:
    cells = []
    for name in columns:
        value = means.get(name, math.nan)
        known = [one[name] for one in compared if not math.isnan(one.get(name, math.nan))]
        best = (min if name in LOWER_IS_BETTER else max)(known, default=math.nan)
        cells.append({"text": number(value), "best": who != ORACLE and len(known) > 1 and value == best})
    return {"group": label, "who": name_of(who), "cells": cells, "first": bool(label)}


def chains_table(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row a link of a chain and scorer; None without chains."""
    links = [link for link in facts.get("chains", []) if link["of"]]
    if not links:
        return None
    names = [name for name in chains.HEADINGS if any(name in one for link in links for one in link["of"].values())]
    rows = []
    for link in links:
        for place, (who, metrics) in enumerate(link["of"].items()):
            label = f"{link['before']} → {link['later']}" if not place else ""
            cells = [{"text": number(metrics.get(name)), "best": False} for name in names]
            rows.append({"group": label, "who": name_of(who), "cells": cells, "first": bool(label)})
    return {"headings": ["link", "", *(chains.HEADINGS[name] for name in names)], "rows": rows}


def training(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = {"parameters": "parameters", "epochs": "epochs", "best_epoch": "best epoch", "steps": "steps"}
    names |= {"rows_per_second": "rows a second", "ranks": "ranks", "device": "device", "precision": "precision"}
    shown = []
    for key, label in names.items():
        value = facts.get(key)
        if value is not None:
            counted = value + 1 if key == "best_epoch" else value
            shown.append((label, f"{counted:,.0f}" if isinstance(counted, int | float) else str(counted)))
    return shown


def sources(unfold: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = []
    for name, facts in unfold.get("sources", {}).items():
        row = {key: f"{facts.get(key) or 0:,}" for key in ("rows", "feature_rows", "entities")}
        bad = sum((facts.get("quarantined") or {}).values())
        times = {key: str(facts.get(key) or "–")[:16] for key in ("first", "last")}
        rows.append({"name": name, "quarantined": f"{bad:,}", **row, **times})
    return rows


def small_tables(summaries: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Counts of the data stages, the reasons of masks and of bad rows; tables without rows are left out."""
    unfold, align, score = summaries["unfold"], summaries["align"], summaries["score"]
    counts = [(label, unfold.get(key)) for key, label in _COUNTS.items()]
    counts += [(f"rows, {split}", rows) for split, rows in align.get("rows", {}).items()]
    bad: dict[str, int] = {}
    for facts in unfold.get("sources", {}).values():
        for reason, count in (facts.get("quarantined") or {}).items():
            bad[reason] = bad.get(reason, 0) + count
    bad |= {f"cannot be scored: {reason}": count for reason, count in score.get("unscorable", {}).items()}
    if align.get("quarantined"):
        bad["labels"] = align["quarantined"]
    tables = {
        "Concept vectors": [(label, _count(value)) for label, value in counts if value is not None],
        "Masked concepts by reason": [(reason, _count(count)) for reason, count in align.get("masked", {}).items()],
        "Rows in quarantine by reason": [(reason, _count(count)) for reason, count in sorted(bad.items())],
        "Segments left out": list(align.get("left_out", {}).items()),
    }
    return [{"title": title, "rows": rows} for title, rows in tables.items() if rows]


_COUNTS = {
    "entities": "entities",
    "vocabulary_size": "concepts in the vocabulary",
    "concepts_per_entity": "concepts an entity",
    "concepts_pruned": "concepts too rare to keep",
}


def _count(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
