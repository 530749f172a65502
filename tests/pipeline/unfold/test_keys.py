"""Concepts as 64-bit keys: the same tables from both ways of counting, and keys that two concepts share."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from pipeline.errors import UserError
from pipeline.tables import Tables
from pipeline.unfold import counts, fields, profile, run, vocabulary
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, event_source, facts_of, write_json

RULES = [
    {"name": "item", "kind": "field", "column": "item"},
    {"name": "tags", "kind": "multi", "column": "tags"},
    {"name": "words", "kind": "multi", "column": "words", "separator": ","},
    {"name": "hour", "kind": "time", "part": "hour"},
]
ROWS = [
    {
        "user": f"u{n % 7}",
        "at": f"2026-02-01T{n % 5:02d}:00:00",
        "item": [None, "", " a", "a", f"i{n % 11}"][n % 5],
        "tags": None if n % 6 == 0 else [f"t{n % 3}", " t1 ", "", None],
        "words": ["x, y,,x", " ", None][n % 3],
    }
    for n in range(60)
]
UNSEEN = {"user": "nobody", "at": "2026-02-01T00:00:00", "item": " ", "tags": [""], "words": ""}


@pytest.fixture
def make(tmp_path, make_config):
    def make(*overrides: str, rules=RULES, more=()):
        static = write_json(tmp_path, "profile", [{"user": "u1", "age": 3}, {"user": "only", "age": 4}])
        sources = [
            event_source(write_json(tmp_path, "events", [*ROWS, *more]), rules),
            {"name": "p", "format": "json", "path": static, "entity": "user"}
            | {"rules": [{"name": "age", "kind": "number", "column": "age"}]},
        ]
        return make_config(*SETTINGS, "unfold.transform=log1p", *overrides, sources=sources, unfold={"cutoff": CUTOFF})

    return make


def tables_of(config, spark):
    tables = Tables(config, spark)
    return [sorted(map(tuple, tables.read(name).collect())) for name in ("vocabulary", "concept_vectors")]


def counted_facts(config):
    facts = {name: fact for name, fact in facts_of(config).items() if name not in ("seconds", "timings")}
    for of_source in facts["sources"].values():
        del of_source["crowded"]
    return facts


def test_entities_with_very_many_events_are_counted_to_the_same_tables(spark, make, monkeypatch):
    config = make()
    run(config)
    expected, facts = tables_of(config, spark), counted_facts(config)
    for most in (-1, -1000):  # in buckets with more than the mean; all of them
        monkeypatch.setattr(profile, "_MOST_ROWS", most)
        run(config)
        assert tables_of(config, spark) == expected
        assert counted_facts(config) == facts


def test_counts_beside_weights_stay_what_they_are(spark, make):
    config = make()
    run(config)
    expected = tables_of(config, spark)[0]
    config = make(rules=[*RULES, {"name": "once", "kind": "field", "column": "item", "aggregate": "binary"}])
    run(config)
    found = tables_of(config, spark)[0]
    assert {row[1:] for row in expected} == {row[1:] for row in found if row[2] != "s.once"}
    assert facts_of(config)["fields"]["s.once"]["entities"] == facts_of(config)["fields"]["s.item"]["entities"]


def test_an_entity_of_blanks_only_has_no_concept_of_them(spark, make):
    config = make(rules=RULES[:3], more=[UNSEEN])
    run(config)
    assert "nobody" not in {row[0] for row in tables_of(config, spark)[1]}
    facts = facts_of(config)
    assert facts["entities"] == 8  # u0..u6 and only
    assert facts["sources"]["s"]["entities"] == 7
    assert facts["sources"]["p"]["entities"] == 2


def test_runs_of_any_length_are_counted(quick):
    lengths = [1, 2, 3, 4, 5, 31, 32, 33, 511, 512, 513, 8191, 8192, 8193, 20000, 1]
    rows = [("all", [2 * n + 1 for n, length in enumerate(lengths) for _ in range(length)]), ("one", [7] * 600)]
    pairs_df = counts.counted_pairs(quick.createDataFrame(rows, "entity_id string, keys array<bigint>"))
    found = {(row["entity_id"], row["key"]): row["weight"] for row in pairs_df.collect()}
    assert found == {("all", 2 * n + 1): length for n, length in enumerate(lengths)} | {("one", 7): 600}


def test_entities_are_brought_together_in_more_partitions_where_there_is_more():
    assert counts.partitions_for(0, 3, 4) == 1
    assert counts.partitions_for(100_000, 3, 4) == 3
    assert counts.partitions_for(500_000, 3, 4) == 4
    assert counts.partitions_for(10_000_000, 3, 4) == 40


@pytest.fixture
def few_keys(monkeypatch):
    """Keys of a seed below `first` are of three values only."""
    exact = fields.key_of

    def install(first: int):
        def key_of(field, value, seed):
            key = exact(field, value, seed)
            return key if seed >= first else F.when(value.isNull(), 0).otherwise(F.pmod(key, F.lit(3)) + 1)

        for module in ("counts", "associations", "vocabulary"):
            monkeypatch.setattr(f"pipeline.unfold.{module}.key_of", key_of)

    return install


def test_concepts_that_share_a_key_are_never_merged_another_seed_is_taken(spark, make, few_keys):
    config = make()
    run(config)
    expected = tables_of(config, spark)
    few_keys(1)
    run(config)
    assert tables_of(config, spark) == expected


def test_where_no_seed_helps_nothing_is_written(spark, make, few_keys):
    few_keys(100)
    config = make()
    with pytest.raises(RuntimeError, match="share keys"):
        run(config)
    assert not Tables(config, spark).exists("vocabulary")


def test_a_large_vocabulary_is_numbered_by_ranges_and_joined_by_salt_to_the_same_tables(spark, make, monkeypatch):
    config = make()
    run(config)
    expected = tables_of(config, spark)
    monkeypatch.setattr(vocabulary, "BROADCAST_ROWS", 0)
    monkeypatch.setattr("pipeline.unfold.vectors.BROADCAST_ROWS", 0)
    run(config)
    assert tables_of(config, spark) == expected


def test_tables_of_a_run_that_was_stopped_between_them_are_refused(spark, make, monkeypatch):
    """As a kill at this point leaves them: nothing after it runs."""
    config = make()
    run(config)
    expected = tables_of(config, spark)

    class Killed(BaseException):
        pass

    def kill_at(killing: str) -> None:
        def point(name: str) -> None:
            if name == killing:
                raise Killed

        monkeypatch.setattr("pipeline.unfold.stage.fault_point", point)

    for killing in ("unfold:before-vectors", "unfold:after-vectors"):
        kill_at(killing)
        with pytest.raises(Killed):
            run(config)
        for name in ("vocabulary", "concept_vectors"):
            with pytest.raises(UserError, match="run the unfold stage again"):
                Tables(config, spark).read(name, "the unfold")
    kill_at("nowhere")
    run(config)
    assert tables_of(config, spark) == expected
