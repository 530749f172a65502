"""Masks: globs, and concepts found to imply a label; a pure but rare concept is not one of them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from pipeline.align.implication import carriers_by_label, implying, near_deterministic
from pipeline.align.masks import glob_concepts, like_pattern, masks_table, warn_of_idle_globs
from pipeline.align.tasks import Counts, count_pairs
from pipeline.config.aligning import Masks
from tests.pipeline.align.helpers import make_segment

VOCABULARY = "concept_id int, concept string, field string, entities long"
PAIRS = "entity_id string, split string, pairs array<struct<task: int, label: float>>"

RELATIVE, RARE, COMMON, NEVER, FEW_NEVER, HALF_KNOWN, QUERY_ONLY = range(7)


@pytest.fixture(scope="module")
def world(spark: SparkSession) -> tuple[DataFrame, DataFrame]:
    """1,000 entities; task 0: 20 % positive, everyone is in its space; task 1: the first 300 only, half positive."""
    entities = np.arange(1000)
    positive = entities % 5 == 0
    carriers = {
        RELATIVE: entities[positive & (entities < 60)],  # 12 carriers, all positive: .2^12 is no chance
        RARE: entities[positive][:2],  # 2 carriers, all positive: chance
        COMMON: entities[entities % 2 == 0],
        NEVER: entities[~positive & (entities % 5 == 1)],  # 200 carriers, none positive: .8^200 is no chance
        FEW_NEVER: entities[entities % 5 == 1][:10],  # .8^10 is chance
        # Of 60 carriers 30 are in the space of task 1, all positive there; of task 0 they tell nothing.
        HALF_KNOWN: np.concatenate([entities[(entities < 300) & (entities % 2 == 0)][:30], entities[400:430]]),
        QUERY_ONLY: entities[positive & (entities >= 900)],  # 20 carriers, all positive, all in the query split
    }
    vectors = [(f"u{i}", [c for c, mine in carriers.items() if i in mine]) for i in entities]
    pairs = []
    for i in entities:
        of_entity = [(0, float(positive[i]))] + ([(1, float(i % 2 == 0))] if i < 300 else [])
        pairs.append((f"u{i}", "query" if i >= 900 else "support", of_entity))
    vectors_df = spark.createDataFrame(vectors, "entity_id string, concept_ids array<int>")
    return vectors_df, spark.createDataFrame(pairs, PAIRS)


def test_a_relative_is_found_and_a_rare_pure_concept_is_not(world: tuple[DataFrame, DataFrame]) -> None:
    vectors_df, pairs_df = world
    segments = [make_segment("everyone"), make_segment("some", sample_space="labelled")]
    counts, _ = count_pairs(pairs_df, 2)
    carriers_df = carriers_by_label(vectors_df, pairs_df, segments, counts)
    found = implying(carriers_df, segments, counts, alpha=0.05, vocabulary_size=7).collect()
    by_pair = {(row["task_id"], row["concept_id"]): row for row in found}
    assert set(by_pair) == {(0, RELATIVE), (0, NEVER), (1, HALF_KNOWN)} | {
        # Even entities are the positives of task 1, and COMMON is the even entities.
        (1, COMMON)
    }
    relative = by_pair[0, RELATIVE]
    assert (relative["carriers"], relative["purity"]) == (12, 1.0)
    assert relative["p_value"] == pytest.approx(0.2**12)
    assert by_pair[0, NEVER]["p_value"] == pytest.approx(0.8**180)
    assert by_pair[1, HALF_KNOWN]["carriers"] == 30


def test_a_larger_vocabulary_asks_for_more_evidence(world: tuple[DataFrame, DataFrame]) -> None:
    vectors_df, pairs_df = world
    segments = [make_segment("everyone"), make_segment("some", sample_space="labelled")]
    counts, _ = count_pairs(pairs_df, 2)
    carriers_df = carriers_by_label(vectors_df, pairs_df, segments, counts)
    found = implying(carriers_df, segments, counts, alpha=0.05, vocabulary_size=10**9)
    assert {(row["task_id"], row["concept_id"]) for row in found.collect()} == {(0, NEVER), (1, COMMON)}


def test_near_determination_needs_carriers_purity_and_more_than_chance(world: tuple[DataFrame, DataFrame]) -> None:
    vectors_df, pairs_df = world
    segments = [make_segment("everyone"), make_segment("some", sample_space="labelled")]
    counts, _ = count_pairs(pairs_df, 2)
    carriers_df = carriers_by_label(vectors_df, pairs_df, segments, counts).cache()

    def found(vocabulary_size: int = 7, **settings: float) -> dict[tuple[int, int], tuple[int, float, float]]:
        rows = near_deterministic(carriers_df, segments, counts, Masks(**settings), vocabulary_size).collect()
        return {(row["task_id"], row["concept_id"]): (row["carriers"], row["purity"], row["lift"]) for row in rows}

    assert found(near_carriers=10) == {
        (0, RELATIVE): (12, 1.0, pytest.approx(5.0)),
        (1, COMMON): (150, 1.0, pytest.approx(2.0)),
        (1, HALF_KNOWN): (30, 1.0, pytest.approx(2.0)),
    }
    assert set(found(near_carriers=20)) == {(1, COMMON), (1, HALF_KNOWN)}
    assert set(found(near_carriers=10, vocabulary_size=10**9)) == {(1, COMMON)}
    # As pure as everybody is: nothing is determined, however low the bar.
    assert (0, HALF_KNOWN) not in found(near_purity=0.1)
    carriers_df.unpersist()


def test_tasks_that_are_not_binary_are_not_tested(world: tuple[DataFrame, DataFrame]) -> None:
    vectors_df, pairs_df = world
    segments = [make_segment("much", "amount", kind="regression", aggregate="sum")]
    counts = [{"support": Counts(9, 3, 0.0, 1.0)}]
    carriers_df = carriers_by_label(vectors_df, pairs_df, segments, counts)
    assert implying(carriers_df, segments, counts, 0.05, 7).count() == 0


@pytest.mark.parametrize(
    ("glob", "pattern"), [("profile.age=*", r"profile.age=%"), ("a_b?%", r"a\_b_\%"), ("back\\slash", "back\\\\slash")]
)
def test_globs_know_star_and_question_mark_only(glob: str, pattern: str) -> None:
    assert like_pattern(glob) == pattern


def test_every_masked_concept_carries_one_reason(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    names = [
        "profile.age=18-24",
        "profile.age=25+",
        "profile.agex",
        "ads.audience=young",
        "ads.audience=yo_ng",
        "x.y=1",
    ]
    vocabulary_df = spark.createDataFrame(
        [(i, name, name.split("=")[0], 9) for i, name in enumerate(names)], VOCABULARY
    )
    segments = [
        make_segment("young", own=["ads.audience=yo?ng"], mask=["profile.age=*", "ads.*"]),
        make_segment("free", mask=["misspelt.*"]),
    ]
    implying_df = spark.createDataFrame(
        [(0, 0, 12, 1.0, 1e-9), (1, 5, 30, 1.0, 1e-12)],
        "task_id int, concept_id int, carriers long, purity double, p_value double",
    )
    globs_df = glob_concepts(vocabulary_df, segments)
    rows = masks_table(vocabulary_df, globs_df, implying_df, segments).collect()
    assert {(row["segment"], row["concept"]): row["reason"] for row in rows} == {
        ("young", "profile.age=18-24"): "family:profile.age=*",
        ("young", "profile.age=25+"): "family:profile.age=*",
        ("young", "ads.audience=young"): "own",
        ("young", "ads.audience=yo_ng"): "own",
        ("free", "x.y=1"): "implies",
    }
    assert len(rows) == 5
    (implied,) = (row for row in rows if row["reason"] == "implies")
    assert (implied["task_id"], implied["carriers"], implied["p_value"]) == (1, 30, 1e-12)
    with caplog.at_level(logging.WARNING):
        assert warn_of_idle_globs(globs_df, segments) == ["misspelt.*"]
    assert "misspelt.*" in caplog.text


def test_a_shared_id_is_masked_whichever_of_its_concepts_a_glob_matches(spark: SparkSession) -> None:
    hashed = [(0, "x.page=home", "x.page", 9), (0, "profile.age=18-24", "profile.age", 2), (1, "x.page=a", "x.page", 5)]
    hashed_df = spark.createDataFrame(hashed, VOCABULARY)
    vocabulary_df = hashed_df.where("entities > 2")  # an id is named for its most frequent concept
    segments = [make_segment("young", own=["profile.age=18-24"], mask=["profile.*"])]
    globs_df = glob_concepts(hashed_df, segments)
    rows = masks_table(vocabulary_df, globs_df, None, segments).collect()
    assert [(row["concept_id"], row["concept"], row["reason"]) for row in rows] == [(0, "profile.age=18-24", "own")]
    assert not warn_of_idle_globs(globs_df, segments)
