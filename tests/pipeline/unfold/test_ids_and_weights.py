"""The vocabulary, exact and hashed; transforms; the profile; the same bytes from every run."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from pipeline.splits import SUPPORT, with_split
from pipeline.tables import Tables
from pipeline.unfold import run
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, event_source, facts_of, unfolded, vectors_of, write_json

RULES = [{"name": "item", "kind": "field", "column": "item"}]
CARRIERS = {"common": 9, "b": 4, "a": 4, "rare": 1}


def rows_of(carriers: dict[str, int]) -> list[dict[str, str]]:
    """Each item once with so many entities."""
    return [
        {"user": f"u{user}", "at": "2026-02-01", "item": item}
        for item, count in carriers.items()
        for user in range(count)
    ]


@pytest.fixture
def make(tmp_path, make_config):
    def make(*overrides: str, carriers: dict[str, int] = CARRIERS, rules=RULES):
        source = event_source(write_json(tmp_path, "events", rows_of(carriers)), rules)
        return make_config(*SETTINGS, *overrides, sources=[source], unfold={"cutoff": CUTOFF})

    return make


def vocabulary_of(config, spark):
    return sorted(map(tuple, Tables(config, spark).read("vocabulary").collect()))


def test_ids_go_by_descending_entity_count_then_name_and_rare_concepts_are_dropped(spark, make):
    config = make("unfold.vocabulary.min_entities=2")
    run(config)
    assert vocabulary_of(config, spark) == [
        (0, "s.item=common", "s.item", 9),
        (1, "s.item=a", "s.item", 4),
        (2, "s.item=b", "s.item", 4),
    ]
    for row in Tables(config, spark).read("concept_vectors").collect():
        assert row.concept_ids == sorted(row.concept_ids)


def test_ids_are_dense_over_many_partitions(spark, make):
    config = make(carriers={f"i{n:03d}": 1 + n % 3 for n in range(200)})
    partitions = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "7")
    try:
        run(config)
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", partitions)
    rows = vocabulary_of(config, spark)
    assert [row[0] for row in rows] == list(range(200))
    assert [(-row[3], row[1]) for row in rows] == sorted((-row[3], row[1]) for row in rows)


def test_hashed_ids_are_in_range_and_their_collisions_are_counted(spark, make):
    config = make("unfold.vocabulary.kind=hashed", "unfold.vocabulary.bits=5", carriers={f"i{n}": 2 for n in range(40)})
    run(config)
    rows = vocabulary_of(config, spark)
    assert [row[0] for row in rows] == list(range(32))
    concepts = Tables(config, spark).read("hashed_concepts").collect()
    assert len(concepts) == 40
    sharing = Counter(row["concept_id"] for row in concepts)
    rate = sum(count for count in sharing.values() if count > 1) / 40
    assert 0 < rate < 1
    assert facts_of(config)["collision_rate"] == pytest.approx(rate)
    for row in Tables(config, spark).read("concept_vectors").collect():
        assert row.concept_ids == sorted(set(row.concept_ids))
        assert set(row.concept_ids) <= set(range(32))
        assert sum(row.concept_weights) == 40


def test_weights_are_damped_and_keep_their_sign(spark, tmp_path, make_config):
    rows = [{"user": "u", "at": "2026-02-01", "item": item, "v": v} for item, v in (("up", 7), ("down", -7))]
    rule = {**RULES[0], "weight": "v"}
    source = event_source(write_json(tmp_path, "events", rows), [rule])
    config = make_config(*SETTINGS, "unfold.transform=log1p", sources=[source], unfold={"cutoff": CUTOFF})
    vector = unfolded(config, spark)["u"]
    assert vector["s.item=up"] == pytest.approx(math.log(8))
    assert vector["s.item=down"] == pytest.approx(-math.log(8))


def test_document_frequencies_come_from_the_support_only(spark, make):
    config = make("unfold.transform=tfidf", carriers={"all": 40, "half": 20})
    vectors = unfolded(config, spark)
    ids_df = spark.createDataFrame([(f"u{n}",) for n in range(40)], "entity_id string")
    split = {row.entity_id: row.split for row in with_split(ids_df, config.align.split).collect()}
    support = sum(part == SUPPORT for part in split.values())
    half = sum(split[f"u{n}"] == SUPPORT for n in range(20))
    ratio = (math.log((1 + support) / (1 + half)) + 1) / 1.0
    assert 0 < half < 20
    assert vectors["u0"]["s.item=half"] / vectors["u0"]["s.item=all"] == pytest.approx(ratio, rel=1e-5)


def test_a_second_run_gives_the_same_tables(spark, make):
    config = make("spark.tables=delta")
    run(config)
    first = vectors_of(config, spark), vocabulary_of(config, spark)
    run(config)
    assert (vectors_of(config, spark), vocabulary_of(config, spark)) == first


def test_the_profile_counts_events_by_day(spark, make):
    config = make()
    run(config)
    facts = facts_of(config)
    assert facts["entities"] == 9
    assert facts["vocabulary_size"] == len(CARRIERS)
    assert facts["concepts_per_entity"] == pytest.approx(18 / 9)
    assert facts["sources"]["s"]["rows"] == 18
    assert facts["sources"]["s"]["rows_by_day"] == {"2026-02-01": 18}
