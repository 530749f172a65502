"""No event at or after the cutoff changes a byte of any feature; start is inside, cutoff outside."""

from __future__ import annotations

import os
import random
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import load_config
from pipeline.tables import Tables
from pipeline.unfold import run
from tests.pipeline.unfold import cutoff_cases
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, event_source, unfolded, write_json

CASES = int(os.environ.get("CUTOFF_CASES", "0"))
RULES: list[dict[str, Any]] = [
    {"name": "item", "kind": "field", "column": "item"},
    {"name": "tags", "kind": "multi", "column": "tags"},
    {"name": "value", "kind": "number", "column": "value", "aggregate": "decay", "half_life": 3},
    {"name": "spent", "kind": "field", "column": "item", "weight": "value"},
    {"name": "recency", "kind": "recency"},
]


def events(days: st.SearchStrategy[int]) -> st.SearchStrategy[list[dict[str, Any]]]:
    moment = datetime.fromisoformat(CUTOFF)
    event = st.fixed_dictionaries(
        {
            "user": st.sampled_from([f"u{i}" for i in range(12)]),
            "at": days.map(lambda day: (moment + timedelta(days=day)).isoformat()),
            "item": st.sampled_from(["a", "b", "c", "later", None]),
            "tags": st.lists(st.sampled_from(["x", "y", "z"]), max_size=3),
            "scores": st.none(),
            "value": st.one_of(st.none(), st.integers(-50, 50), st.floats(-1e6, 1e6, allow_nan=False)),
        }
    )
    return st.lists(event, min_size=20, max_size=120)


def features(rows: list[dict[str, Any]], spark: Any, rules: list[dict[str, Any]] = RULES) -> list[Any]:
    """Everything the stage says of these events, floats as they are."""
    triples = [dict(zip(("head", "relation", "tail"), triple, strict=True)) for triple in cutoff_cases.TRIPLES]
    types = {"value": "double", "tags": "array<string>", "scores": "map<string,double>"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = event_source(write_json(folder, "events", rows), rules, types=types)
        content = {"run": {"workdir": f"{name}/work"}, "sources": [source], "unfold": {"cutoff": CUTOFF}}
        content["knowledge_base"] = {"format": "json", "path": write_json(folder, "triples", triples)}
        (folder / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        config = load_config([folder / "config.yaml"], [*SETTINGS, "unfold.transform=tfidf"])
        run(config)
        tables = Tables(config, spark)
        vectors = sorted(map(tuple, tables.read("concept_vectors").collect()))
        return [vectors, sorted(map(tuple, tables.read("vocabulary").collect()))]


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(before=events(st.integers(-20, -1)), after=events(st.integers(0, 20)), data=st.data())
def test_no_event_at_or_after_the_cutoff_changes_a_feature(spark, before, after, data):
    shuffled = data.draw(st.permutations([*before, *after]))
    assert features(shuffled, spark) == features(before, spark)


@pytest.mark.parametrize("rules", cutoff_cases.rules_by_kind() if CASES else [cutoff_cases.few_rules()])
def test_no_rule_in_no_window_by_no_aggregate_sees_the_future(spark, rules):
    """`make cutoff-check CASES=10000` asks more cases, and all rules."""
    past, future = cutoff_cases.events(CASES or 300, seed=CASES)
    both = [*past, *future]
    random.Random(0).shuffle(both)
    seen, expected = features(both, spark, rules), features(past, spark, rules)
    assert len(expected[0]) > (CASES or 300) / 3
    with_concepts = {row[2].split(".")[1] for row in expected[1]}
    assert with_concepts == {rule["name"] for rule in rules}
    assert seen == expected


def test_the_window_is_closed_at_start_and_open_at_cutoff(spark, tmp_path, make_config):
    rows = [
        {"user": "early", "at": "2026-02-09T23:59:59.999", "item": "a"},
        {"user": "first", "at": "2026-02-10T00:00:00", "item": "a"},
        {"user": "last", "at": "2026-02-28T23:59:59.999", "item": "a"},
        {"user": "after", "at": "2026-03-01T00:00:00", "item": "a"},
    ]
    source = event_source(write_json(tmp_path, "events", rows), RULES[:1])
    config = make_config(*SETTINGS, sources=[source], unfold={"start": "2026-02-10", "cutoff": CUTOFF})
    assert set(unfolded(config, spark)) == {"first", "last"}


def test_a_static_source_counts_at_any_cutoff(spark, tmp_path, make_config):
    rows = [{"user": "early", "at": "2026-02-01T00:00:00", "item": "a"}]
    profile = write_json(tmp_path, "profile", [{"user": "early", "age": 3}, {"user": "only", "age": 4}])
    sources = [
        event_source(write_json(tmp_path, "events", rows), RULES[:1]),
        {"name": "profile", "format": "json", "path": profile, "entity": "user"}
        | {"rules": [{"name": "age", "kind": "field", "column": "age"}]},
    ]
    config = make_config(*SETTINGS, sources=sources, unfold={"cutoff": CUTOFF})
    assert unfolded(config, spark) == {"early": {"s.item=a": 1, "profile.age=3": 1}, "only": {"profile.age=4": 1}}
