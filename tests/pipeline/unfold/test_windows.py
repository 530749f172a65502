"""Windows before the cutoff, and the aggregates `last` and `distinct`; one run of the stage for all of them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pyspark.sql import functions as F

from pipeline.align.masks import like_pattern
from pipeline.config import load_config
from pipeline.errors import UserError
from pipeline.tables import Tables
from pipeline.unfold import profile
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, event_source, unfolded, write_json

WINDOWS = ["7d", "30d", "36500d"]
RULES: list[dict[str, Any]] = [
    {"name": "item", "kind": "field", "column": "item", "windows": WINDOWS},
    {"name": "tags", "kind": "multi", "column": "tags", "windows": WINDOWS},
    {"name": "spent", "kind": "field", "column": "item", "weight": "price", "windows": WINDOWS},
    {"name": "scores", "kind": "map", "column": "scores", "windows": WINDOWS},
    {"name": "brand", "kind": "path", "column": "item", "path": "made_by", "windows": WINDOWS},
    {"name": "brands", "kind": "path", "column": "tags", "path": "made_by", "windows": WINDOWS},
    {"name": "latest", "kind": "field", "column": "item", "aggregate": "last", "windows": WINDOWS},
    {"name": "paid", "kind": "field", "column": "item", "weight": "price", "aggregate": "last"},
    {"name": "items", "kind": "field", "column": "item", "aggregate": "distinct", "windows": WINDOWS},
    {"name": "tagged", "kind": "multi", "column": "tags", "aggregate": "distinct", "base": 3},
    {"name": "since", "kind": "recency", "aggregate": "last"},
    {"name": "always", "kind": "field", "column": "item"},
]


def event(user: str, at: str, item: str | None, **more: Any) -> dict[str, Any]:
    return {"user": user, "at": at, "item": item, "tags": None, "price": None, "scores": None, **more}


ROWS = [
    event("ann", "2026-02-22T00:00:00", "a", tags=["x", "y"], price=2.0, scores={"m": 2.0}),  # the first of 7 days
    event("ann", "2026-02-21T23:59:59.999", "a", tags=["y", "z"], price=3.0, scores={"m": 1.0}),
    event("ann", "2026-01-30T00:00:00", "b", price=8.0),  # the first of 30 days
    event("ann", "2026-01-29T23:59:59.999", "c", tags=["v", "w"]),
    event("ann", "2026-02-28T00:00:00", " "),  # the latest event of all has no value
    event("bob", "2020-01-01T00:00:00", "a", price=1.0),
    event("tie", "2026-02-27T00:00:00", "b", price=1.0),
    event("tie", "2026-02-27T00:00:00", "c", price=1.0),
    event("tie", "2026-02-27T00:00:00", "c", price=5.0),
    event("tie", "2026-02-27T00:00:00", "a", price=9.0),
    event("ann", CUTOFF, "later", tags=["later"], price=1.0),
]
TRIPLES = [("a", "made_by", "acme"), ("b", "made_by", "bolt"), ("x", "made_by", "acme"), ("y", "made_by", "acme")]


def content_of(folder: Any) -> dict[str, Any]:
    triples = [dict(zip(("head", "relation", "tail"), triple, strict=True)) for triple in TRIPLES]
    types = {"scores": "map<string,double>", "price": "double", "tags": "array<string>"}
    return {
        "run": {"workdir": str(folder / "work")},
        "sources": [event_source(write_json(folder, "events", ROWS), RULES, types=types)],
        "knowledge_base": {"format": "json", "path": write_json(folder, "triples", triples)},
        "unfold": {"cutoff": CUTOFF},
    }


@pytest.fixture(scope="module")
def config(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    (folder / "config.yaml").write_text(yaml.safe_dump(content_of(folder)), encoding="utf-8")
    return load_config([folder / "config.yaml"], SETTINGS)


@pytest.fixture(scope="module")
def vectors(spark, config) -> dict[str, dict[str, float]]:
    return unfolded(config, spark)


def of_field(vector: dict[str, float], field: str) -> dict[str, float]:
    start = f"s.{field}="
    return {concept.removeprefix(start): weight for concept, weight in vector.items() if concept.startswith(start)}


@pytest.mark.parametrize(
    ("entity", "field", "expected"),
    [
        ("ann", "item.7d", {"a": 1}),
        ("ann", "item.30d", {"a": 2, "b": 1}),
        ("ann", "item.36500d", {"a": 2, "b": 1, "c": 1}),
        ("ann", "always", {"a": 2, "b": 1, "c": 1}),
        ("ann", "item", {}),
        ("bob", "item.30d", {}),
        ("bob", "item.36500d", {"a": 1}),
        ("ann", "tags.7d", {"x": 1, "y": 1}),
        ("ann", "tags.30d", {"x": 1, "y": 2, "z": 1}),
        ("ann", "spent.7d", {"a": 2}),
        ("ann", "spent.30d", {"a": 5, "b": 8}),
        ("ann", "scores.7d", {"m": 2}),
        ("ann", "scores.30d", {"m": 3}),
        ("ann", "brand.7d", {"acme": 1}),
        ("ann", "brand.30d", {"acme": 2, "bolt": 1}),
        ("ann", "brands.7d", {"acme": 2}),
        ("ann", "brands.36500d", {"acme": 3}),
        ("ann", "latest.7d", {"a": 1}),
        ("bob", "latest.30d", {}),
        ("bob", "latest.36500d", {"a": 1}),
        ("tie", "latest.7d", {"c": 1}),
        ("tie", "paid", {"c": 5}),
        ("ann", "paid", {"a": 2}),
        ("ann", "items.7d", {"2^0": 1}),
        ("ann", "items.30d", {"2^1": 1}),
        ("ann", "items.36500d", {"2^2": 1}),
        ("ann", "tagged", {"3^1": 1}),
        ("ann", "since", {"1": 1}),
    ],
)
def test_a_window_has_the_events_of_its_days_alone(vectors, entity, field, expected):
    assert of_field(vectors[entity], field) == expected


def test_a_window_is_a_field_that_a_glob_can_name(vectors, config, spark):
    vocabulary_df = Tables(config, spark).read("vocabulary")
    fields = {row["field"] for row in vocabulary_df.select("field").distinct().collect()}
    assert {"s.item.7d", "s.item.30d", "s.item.36500d", "s.always"} <= fields
    for glob, found in (("s.item.7d=*", {"a", "b", "c"}), ("s.item.*=b", {"b"})):
        rows = vocabulary_df.where(F.col("concept").like(like_pattern(glob))).collect()
        assert {row["concept"].partition("=")[2] for row in rows} == found


def test_both_ways_of_counting_agree_in_every_window_to_the_bit(vectors, config, spark, monkeypatch):
    monkeypatch.setattr(profile, "_MOST_ROWS", -1000)
    assert unfolded(config, spark) == vectors


def test_a_window_does_not_reach_behind_the_start(spark, tmp_path, make_config):
    source = event_source(write_json(tmp_path, "events", ROWS), RULES[:1])
    config = make_config(*SETTINGS, sources=[source], unfold={"start": "2026-02-01", "cutoff": CUTOFF})
    vectors = unfolded(config, spark)
    assert of_field(vectors["ann"], "item.36500d") == of_field(vectors["ann"], "item.30d") == {"a": 2}


def test_half_of_distinct_values_may_be_blank_and_of_a_static_source(spark, tmp_path, make_config):
    rows = [{"user": "u", "tags": ["x", " x ", "", "y"]}, {"user": "v", "tags": [""]}]
    rules = [{"name": "n", "kind": "multi", "column": "tags", "aggregate": "distinct"}]
    source = {"name": "s", "format": "json", "path": write_json(tmp_path, "p", rows), "entity": "user", "rules": rules}
    assert unfolded(make_config(*SETTINGS, sources=[source]), spark) == {"u": {"s.n=2^1": 1}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"windows": ["0d"]}, "'0d' is no window"),
        ({"windows": ["-7d"]}, "'-7d' is no window: write whole days such as 7d"),
        ({"windows": ["week"]}, "'week' is no window"),
        ({"windows": ["7"]}, "'7' is no window"),
        ({"windows": ["7.5d"]}, "no window"),
        ({"windows": ["07d"]}, "no window"),
        ({"windows": ["٧d"]}, "no window"),
        ({"windows": ["36501d"]}, "from 1d to 36500d"),
        ({"windows": ["7d", "30d", "7d"]}, "duplicate window: 7d"),
        ({"aggregate": "decay", "half_life": -1}, "greater than 0"),
        ({"aggregate": "decay", "half_life": 0}, "greater than 0"),
        ({"aggregate": "distinct", "weight": "price"}, "distinct ignores weight"),
        ({"aggregate": "last", "kind": "multi"}, "one value a row, not for kind multi"),
        ({"base": 3}, "takes no base"),
    ],
)
def test_what_cannot_be_is_refused_with_the_configuration(make_config, changes, words):
    rule = {"name": "r", "kind": "field", "column": "item", **changes}
    with pytest.raises(UserError, match=words):
        make_config(sources=[event_source("unused", [rule])])


@pytest.mark.parametrize("changes", [{"windows": ["7d"]}, {"aggregate": "last"}])
def test_a_static_source_has_no_windows_and_no_last_event(make_config, changes):
    rule = {"name": "r", "kind": "field", "column": "item", **changes}
    with pytest.raises(UserError, match="rule r: needs event times"):
        make_config(sources=[event_source("unused", [rule], time=None)])
