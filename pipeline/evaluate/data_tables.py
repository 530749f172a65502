"""What the report says of the data by field: drift, what is missing, how the vocabulary grows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.evaluate.console import percent

_MOST_ROWS = 60
STABLE, SHIFTED = 0.1, 0.25
"""PSI: the usual bands."""


def band(value: float) -> str:
    """stable, moving or shifted."""
    if value < STABLE:
        return "stable"
    return "moving" if value < SHIFTED else "shifted"


def drift_table(profile: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a field whose drift is known, the most drifted first."""
    drift: Mapping[str, Mapping[str, Any]] = profile.get("drift", {})

    def worst(name: str) -> float:
        return max(drift[name].get(key) or 0.0 for key in ("psi", "psi_since_last"))

    known = [name for name, one in drift.items() if any(one.get(key) is not None for key in ("psi", "psi_since_last"))]
    rows = []
    for name in sorted(known, key=lambda name: (-worst(name), name))[:_MOST_ROWS]:
        one = drift[name]
        rows.append(
            {
                "name": name,
                "psi": _number(one.get("psi")),
                "noise": _number(one.get("noise")),
                "since_last": _number(one.get("psi_since_last")),
                "band": band(worst(name)),
                "top_share": percent(one["top_share"]),
                "rows": f"{one['rows']:,}",
            }
        )
    return rows


def missing_table(unfold: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a rule: the share of rows without a value, and of the entities without any concept of it; those that
    lack most first. Empty where rows were not looked at."""
    entities, rows = unfold.get("entities") or 0, []
    fields: Mapping[str, Mapping[str, Any]] = unfold.get("fields", {})
    for source, facts in unfold.get("sources", {}).items():
        for rule, missing in (facts.get("missing_rows") or {}).items():
            name = f"{source}.{rule}"
            # Of several windows of a rule the widest has the most entities.
            having = [one["entities"] for field, one in fields.items() if field == name or field.startswith(f"{name}.")]
            of_rows = missing / facts["feature_rows"] if facts.get("feature_rows") else 0.0
            of_entities = 1 - max(having, default=0) / entities if entities else 0.0
            rows.append((max(of_rows, of_entities), name, of_rows, max(of_entities, 0.0)))
    return [
        {"name": name, "rows": percent(of_rows), "entities": percent(of_entities)}
        for _, name, of_rows, of_entities in sorted(rows, key=lambda row: (-row[0], row[1]))[:_MOST_ROWS]
    ]


def concepts_by_source(profile: Mapping[str, Any], which: str) -> dict[str, dict[str, int]]:
    """By source and day the concepts `seen`, or `new`, of all its fields."""
    found: dict[str, dict[str, int]] = {}
    for field, days in profile.get("concepts_by_day", {}).items():
        of_source = found.setdefault(field.split(".")[0], {})
        for day, counts in days.items():
            of_source[day] = of_source.get(day, 0) + counts[which]
    return found


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
