"""Generated cases of the question whether a feature sees its future: every entity is one, with events of its own.

Its past lies before the cutoff, its future at or after it, down to the last and first millisecond. What one entity
has is independent of the others, so that thousands of cases are two runs of the stage.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from pipeline.config.rules import Rule
from pipeline.config.sources import Source
from tests.pipeline.unfold.helpers import CUTOFF

TRIPLES = [("a", "made_by", "acme"), ("b", "made_by", "acme"), ("b", "made_by", "bolt"), ("later", "made_by", "new")]
_KINDS: dict[str, dict[str, Any]] = {
    "field": {"column": "item"},
    "multi": {"column": "tags"},
    "pairs": {"column": "tags"},
    "map": {"column": "scores"},
    "number": {"column": "value"},
    "time": {"part": "weekday"},
    "recency": {},
    "path": {"column": "item", "path": "made_by/^made_by"},
    "sparql": {"column": "item", "query": "SELECT ?start ?value { ?start <made_by>/^<made_by> ?value }"},
    # How many rows there are stands in every value: one that should not be seen would change them all.
    "sql": {"query": "SELECT user entity, concat(item, (SELECT count(*) FROM s)) value, _time time FROM s"},
}
_AGGREGATES: dict[str, dict[str, Any]] = {
    "plain": {},
    "count": {"aggregate": "count"},
    "sum": {"aggregate": "sum", "weight": "value"},
    "max": {"aggregate": "max", "weight": "value"},
    "binary": {"aggregate": "binary"},
    "decay": {"aggregate": "decay", "half_life": 3},
    "last": {"aggregate": "last"},
    "distinct": {"aggregate": "distinct"},
}
_FEW = [
    ("field", "last"),
    ("field", "count"),
    ("multi", "distinct"),
    ("pairs", "binary"),
    ("map", "plain"),
    ("number", "decay"),
    ("time", "max"),
    ("recency", "last"),
    ("path", "sum"),
    ("sparql", "plain"),
    ("sql", "binary"),
    ("sql", "last"),
]
_SPANS = [timedelta(milliseconds=1), timedelta(hours=5), timedelta(days=3), timedelta(days=40), timedelta(days=900)]


def few_rules() -> list[dict[str, Any]]:
    """A few rules, among which each kind, each aggregate and some windows stand."""
    rules = [_rule(kind, aggregate) for kind, aggregate in _FEW]
    return [rule | {"windows": ["3d", "30d"]} if i % 2 else rule for i, rule in enumerate(rules)]


def rules_by_kind() -> list[list[dict[str, Any]]]:
    """Every kind with every aggregate it takes, over all time and in windows."""
    every = []
    for kind in _KINDS:
        always = [rule for rule in (_rule(kind, aggregate) for aggregate in _AGGREGATES) if _is_valid(rule)]
        windowed = [rule | {"name": f"{rule['name']}_before", "windows": ["3d", "30d"]} for rule in always]
        every.append([*always, *windowed])
    return every


def _rule(kind: str, aggregate: str) -> dict[str, Any]:
    return {"name": f"{kind}_{aggregate}", "kind": kind, **_KINDS[kind], **_AGGREGATES[aggregate]}


def events(cases: int, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The past and the future of so many entities."""
    draw = random.Random(seed)
    cutoff = datetime.fromisoformat(CUTOFF)
    past, future = [], []
    for case in range(cases):
        for _ in range(draw.randrange(6)):
            past.append(_event(draw, f"u{case}", cutoff - draw.choice(_SPANS) * draw.randint(1, 3)))
        for _ in range(draw.randrange(4)):
            future.append(_event(draw, f"u{case}", cutoff + draw.choice([timedelta(0), *_SPANS]) * draw.randint(0, 3)))
    return past, future


def _event(draw: random.Random, user: str, at: datetime) -> dict[str, Any]:
    return {
        "user": user,
        "at": at.isoformat(timespec="milliseconds"),
        "item": draw.choice(["a", "b", "c", "later", " ", None]),
        "tags": draw.choice([None, [], *(draw.choices(["x", "y", "z", "", None], k=3) for _ in range(2))]),
        "scores": draw.choice([None, {draw.choice("mn"): draw.uniform(-2, 2)}]),
        "value": draw.choice([None, 0, draw.randint(-50, 50), draw.uniform(-1e6, 1e6)]),
    }


def _is_valid(rule: dict[str, Any]) -> bool:
    try:
        Source(name="s", path="unused", entity="user", time="at", rules=[Rule(**rule)])
    except ValidationError:
        return False
    return True
