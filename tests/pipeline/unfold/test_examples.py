"""Several cutoffs: each example has what the entity has at that cutoff alone, and labels from that cutoff on."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pyspark.sql import functions as F

from pipeline.align.expressions import label_window, source_hits
from pipeline.config.aligning import Split
from pipeline.config.unfolding import Unfold
from pipeline.errors import UserError
from pipeline.examples import entity_of, entity_of_id
from pipeline.splits import with_split
from tests.pipeline.align.helpers import hits_by_entity, make_segment
from tests.pipeline.unfold import cutoff_cases
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, event_source, unfolded, write_json

CASES = int(os.environ.get("CUTOFF_CASES", "0"))
CUTOFFS = ["2026-02-25 12:00:00", "2026-03-01 00:00:00"]
RULES: list[dict[str, Any]] = [
    {"name": "item", "kind": "field", "column": "item", "windows": ["3d"]},
    {"name": "decayed", "kind": "field", "column": "item", "aggregate": "decay", "half_life": 3},
    {"name": "latest", "kind": "field", "column": "item", "aggregate": "last"},
    {"name": "recency", "kind": "recency"},
    {"name": "queried", "kind": "sql", "query": "select _entity as entity, item as value from s where item > 'a'"},
]


pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize("rules", cutoff_cases.rules_by_kind() if CASES else [RULES])
def test_an_example_has_what_its_entity_has_at_that_cutoff_alone(spark, tmp_path, make_config, rules):
    """`make cutoff-check CASES=10000` asks more cases, and all rules."""
    past, future = cutoff_cases.events(CASES or 40, seed=5)
    types = {"value": "double", "tags": "array<string>", "scores": "map<string,double>"}
    profile = write_json(tmp_path, "profile", [{"user": "u0@home", "age": 3}])
    sources = [
        event_source(write_json(tmp_path, "events", [*past, *future]), rules, types=types),
        {"name": "profile", "format": "json", "path": profile, "entity": "user"}
        | {"rules": [{"name": "age", "kind": "field", "column": "age"}]},
    ]
    more: dict[str, Any] = {"sources": sources}
    if CASES:
        triples = [dict(zip(("head", "relation", "tail"), triple, strict=True)) for triple in cutoff_cases.TRIPLES]
        more["knowledge_base"] = {"format": "json", "path": write_json(tmp_path, "triples", triples)}

    def at(**unfold: Any) -> dict[str, dict[str, float]]:
        return unfolded(make_config(*SETTINGS, unfold=unfold, **more), spark)

    found = at(cutoffs=CUTOFFS)
    for cutoff in CUTOFFS if CASES else CUTOFFS[:1]:
        suffix = f"@{cutoff.replace(' ', 'T')}"
        alone = {f"{entity}{suffix}": vector for entity, vector in at(cutoff=cutoff).items()}
        assert {example: vector for example, vector in found.items() if example.endswith(suffix)} == alone
    assert {"u0@home@2026-02-25T12:00:00", "u0@home@2026-03-01T00:00:00"} <= set(found)
    assert len({example[-19:] for example in found}) == 2


def test_labels_are_those_of_each_cutoff_and_the_first_instant_is_inside(spark):
    times = ["2026-02-25 11:59:59", "2026-02-25 12:00:00", "2026-03-01 00:00:00", "2026-03-04 11:59:59"]
    rows_df = spark.createDataFrame(
        [("u", time, n) for n, time in enumerate(times)], "_entity string, at string, n int"
    )
    rows_df = rows_df.withColumn("_time", F.col("at").cast("timestamp"))
    windowed_df = label_window(rows_df, Unfold(cutoffs=CUTOFFS, horizon_days=7))
    segment = make_segment("count", "n >= 0", kind="regression", aggregate="count", sample_space="labelled")
    hits = hits_by_entity(source_hits(windowed_df, [(0, segment)], timed=True))
    assert hits == {"u@2026-02-25T12:00:00": {0: 3.0}, "u@2026-03-01T00:00:00": {0: 2.0}}


@pytest.mark.parametrize("by", [None, {"source": "s", "column": "c", "query": ["x"]}])
def test_an_entity_has_all_its_examples_in_the_split_it_is_in_anyway(spark, by):
    unfold, split = Unfold(cutoffs=CUTOFFS), Split(seed=3, by=by)
    query_df = spark.createDataFrame([("u7",), ("u9",)], "entity_id string") if by else None
    entities = [f"u{n}" for n in range(60)]
    plain_df = spark.createDataFrame([(one,) for one in entities], "entity_id string")
    examples = [(f"{one}@{cutoff.replace(' ', 'T')}",) for one in entities for cutoff in CUTOFFS]
    examples_df = spark.createDataFrame(examples, "entity_id string")
    wanted = dict(with_split(plain_df, split, query_df).select("entity_id", "split").collect())
    entity = entity_of(F.col("entity_id"), unfold)
    found = with_split(examples_df, split, query_df, entity).select("entity_id", "split").collect()
    assert len(found) == 2 * len(entities)
    for example, its_split in found:
        assert its_split == wanted[entity_of_id(example, unfold)]


@pytest.mark.parametrize(
    ("unfold", "words"),
    [
        ({"cutoffs": [CUTOFF, "2026-02-01"]}, "in the order of time"),
        ({"cutoffs": [CUTOFF, CUTOFF]}, "each once"),
        ({"cutoffs": ["2026-02-01", CUTOFF], "cutoff": "2026-02-01"}, "give one of them"),
    ],
)
def test_cutoffs_that_contradict_are_refused(make_config, unfold, words):
    with pytest.raises(UserError, match=words):
        make_config(unfold=unfold)


def test_the_cutoff_of_several_is_the_latest(make_config):
    config = make_config(unfold={"cutoffs": ["2026-02-01", CUTOFF]})
    assert config.unfold.cutoff == "2026-03-01 00:00:00"
