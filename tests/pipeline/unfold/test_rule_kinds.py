"""What every kind of rule makes of a row; one run of the stage for all of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from pipeline.config import load_config
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, event_source, unfolded, write_json

RULES: list[dict[str, Any]] = [
    {"name": "plain", "kind": "field", "column": "page"},
    {"name": "nested", "kind": "field", "column": "device.os"},
    {"name": "tags", "kind": "multi", "column": "tags"},
    {"name": "words", "kind": "multi", "column": "words", "separator": "|"},
    {"name": "tag_pairs", "kind": "pairs", "column": "tags"},
    {"name": "word_pairs", "kind": "pairs", "column": "more", "separator": "|"},
    {"name": "numeric", "kind": "map", "column": "scores"},
    {"name": "texts", "kind": "map", "column": "notes"},
    {"name": "price", "kind": "number", "column": "price"},
    {"name": "decimal", "kind": "number", "column": "price", "base": 10},
    {"name": "hour", "kind": "time", "part": "hour"},
    {"name": "weekday", "kind": "time", "part": "weekday"},
    {"name": "month", "kind": "time", "part": "month"},
    {"name": "recency", "kind": "recency"},
    {"name": "summed", "kind": "field", "column": "page", "weight": "price"},
    {"name": "largest", "kind": "field", "column": "page", "weight": "price", "aggregate": "max"},
    {"name": "once", "kind": "field", "column": "page", "aggregate": "binary"},
    {"name": "fading", "kind": "field", "column": "page", "aggregate": "decay", "half_life": 2},
    {"name": "brand", "kind": "path", "column": "page", "path": "made_by"},
    {"name": "siblings", "kind": "path", "column": "page", "path": "made_by/^made_by"},
    {"name": "topics", "kind": "path", "column": "page", "path": "about"},
]
NOTHING = dict.fromkeys(("page", "device", "tags", "words", "more", "scores", "notes", "price"))
ROWS = [
    {
        "user": "ann",
        "at": "2026-02-27T00:00:00Z",
        "page": "p1",
        "device": {"os": "ios"},
        "tags": ["a", "b", "a", None, ""],
        "words": "x|y| x ||",
        "more": "z|x|y| x ||",
        "scores": {"m": 2.5, "n": -1},
        "notes": {"k": "v"},
        "price": 6.0,
    },
    {"user": "ann", "at": "2026-02-25 13:30:00", **NOTHING, "page": "p1", "price": -3},
    {"user": "bob", "at": "2026-02-28 23:59:59", **NOTHING, "page": "p2", "price": 0},
    {"user": "nil", "at": "2026-02-28 23:00:00", **NOTHING, "page": " "},
    {
        **{"user": "void", "at": "2026-02-28 23:00:00", **NOTHING},
        **{"device": {"os": None}, "tags": [None], "words": "", "scores": {"m": None}, "notes": {"k": None}},
    },
    {"user": "late", "at": "2026-03-01 00:00:00", **NOTHING, "page": "p1"},
]
TRIPLES = [
    ("p1", "made_by", "acme"),
    ("p1", "made_by", "bolt"),
    ("p2", "made_by", "acme"),
    ("p2", "made_by", "bolt"),
    ("p2", "made_by", "bolt"),
    ("p1", "about", "sport"),
]


@pytest.fixture(scope="module")
def vectors(spark, tmp_path_factory) -> dict[str, dict[str, float]]:
    folder = tmp_path_factory.mktemp("kinds")
    triples = [dict(zip(("head", "relation", "tail"), triple, strict=True)) for triple in TRIPLES]
    types = {"scores": "map<string,double>", "notes": "map<string,string>", "price": "double"}
    content = {
        "run": {"workdir": str(folder / "work")},
        "sources": [event_source(write_json(folder, "events", ROWS), RULES, types=types)],
        "knowledge_base": {"format": "json", "path": write_json(folder, "triples", triples)},
        "unfold": {"cutoff": CUTOFF},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return unfolded(load_config([folder / "config.yaml"], SETTINGS), spark)


def of_rule(vector: dict[str, float], rule: str) -> dict[str, float]:
    start = f"s.{rule}="
    return {concept.removeprefix(start): weight for concept, weight in vector.items() if concept.startswith(start)}


@pytest.mark.parametrize(
    ("entity", "rule", "expected"),
    [
        ("ann", "plain", {"p1": 2}),
        ("ann", "nested", {"ios": 1}),
        ("bob", "nested", {}),
        ("ann", "tags", {"a": 2, "b": 1}),
        ("ann", "words", {"x": 2, "y": 1}),
        ("ann", "tag_pairs", {"a&b": 1}),
        ("ann", "word_pairs", {"x&y": 1, "x&z": 1, "y&z": 1}),
        ("bob", "word_pairs", {}),
        ("ann", "numeric", {"m": 2.5, "n": -1}),
        ("ann", "texts", {"k:v": 1}),
        ("ann", "price", {"2^3": 1, "-2^2": 1}),
        ("ann", "decimal", {"10^1": 1, "-10^0": 1}),
        ("bob", "price", {"0": 1}),
        ("ann", "hour", {"0": 1, "13": 1}),
        ("ann", "weekday", {"fri": 1, "wed": 1}),
        ("bob", "month", {"2": 1}),
        ("bob", "recency", {"0": 1}),
        ("ann", "recency", {"1": 1, "2": 1}),
        ("ann", "summed", {"p1": 3}),
        ("bob", "summed", {}),
        ("ann", "largest", {"p1": 6}),
        ("ann", "once", {"p1": 1}),
        ("ann", "brand", {"acme": 2, "bolt": 2}),
        ("bob", "brand", {"acme": 1, "bolt": 1}),
        ("bob", "siblings", {"p1": 2, "p2": 2}),
        ("bob", "topics", {}),
        ("nil", "plain", {}),
        ("nil", "price", {}),
        ("nil", "brand", {}),
    ],
)
def test_a_rule_makes_these_concepts(vectors, entity, rule, expected):
    assert of_rule(vectors[entity], rule) == expected


def test_nulls_in_every_column_and_within_them_make_no_concept(vectors):
    of_the_time = {"s.hour=23": 1, "s.weekday=sat": 1, "s.month=2": 1, "s.recency=0": 1}
    assert vectors["void"] == of_the_time
    assert vectors["nil"] == of_the_time


def test_decay_halves_the_weight_of_an_event_every_half_life(vectors):
    ages = (2.0, 3 + 10.5 / 24)
    expected = sum(0.5 ** (age / 2) for age in ages)
    assert math.isclose(of_rule(vectors["ann"], "fading")["p1"], expected, rel_tol=1e-6)


def test_an_event_at_the_cutoff_is_no_feature(vectors):
    assert "late" not in vectors
