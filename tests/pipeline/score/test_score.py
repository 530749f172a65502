"""Scoring writes one row for each entity and segment of a run, and says what it could not score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.batch import Batch
from pipeline import summary
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.modelfolder import load_model
from pipeline.score import run
from pipeline.tables import Tables
from tests.pipeline.score.world import SEGMENTS, VOCABULARY, build, vectors


@pytest.fixture
def config(make_config):
    return make_config("score.run_id=first", "score.run_date=2026-03-01", "score.batch_rows=7")


def predictions(spark, config):
    return Tables(config, spark).read("predictions").toPandas().sort_values(["run_id", "entity_id", "segment"])


def test_scores_are_those_of_the_model_row_by_row(spark, config):
    rows = vectors(20)
    model = build(spark, config, rows)
    run(config)
    table = predictions(spark, config).set_index(["entity_id", "segment"])
    assert len(table) == 20 * len(SEGMENTS)
    for entity, ids, weights in rows:
        batch = Batch(
            concept_ids=torch.tensor(ids),
            concept_weights=torch.tensor(weights),
            row_offsets=torch.tensor([0, len(ids)]),
            pair_rows=torch.zeros(0, dtype=torch.int64),
            pair_tasks=torch.zeros(0, dtype=torch.int64),
            labels=torch.zeros(0),
        ).with_all_tasks(4)
        with torch.no_grad():
            logits = model(batch)
        expected = {
            "travel": torch.sigmoid(logits[0, 0]),
            "age=young": torch.softmax(logits[1, :3], 0)[0],
            "spend": logits[2, 0],
            "sports": torch.sigmoid(logits[3, 0]),
        }
        for segment, score in expected.items():
            assert table.loc[(entity, segment), "score"] == pytest.approx(float(score), abs=1e-5)
        travel = table.loc[(entity, "travel")]
        assert travel["decision"] == (travel["score"] >= 0.4)
        assert table.loc[(entity, "spend"), "decision"] is None
        assert sum(bool(table.loc[(entity, f"age={name}"), "decision"]) for name in ("young", "mid", "old")) == 1


def test_running_again_replaces_the_run_and_leaves_others_alone(spark, config, make_config):
    build(spark, config, vectors(9))
    run(config)
    run(make_config("score.run_id=second", "score.run_date=2026-03-02"))
    run(config)
    table = predictions(spark, config)
    assert table.groupby("run_id").size().to_dict() == {"first": 9 * 6, "second": 9 * 6}
    assert not table.duplicated(["entity_id", "segment", "run_id"]).any()
    assert set(table["model_version"]) == {load_model(Layout.of(config)).version}
    assert table.groupby("run_id")["run_date"].first().astype(str).to_dict() == {
        "first": "2026-03-01",
        "second": "2026-03-02",
    }


def test_reach_counts_the_decisions(spark, config):
    build(spark, config, vectors(15))
    run(config)
    table = predictions(spark, config)
    reach = Tables(config, spark).read("reach").toPandas().set_index("segment")
    assert set(reach.index) == set(SEGMENTS)
    assert (reach["scored"] == 15).all()
    assert reach.loc["travel", "selected"] == table[table.segment == "travel"]["decision"].sum()
    assert reach.loc["travel", "threshold"] == 0.4
    assert np.isnan(reach.loc["spend", "threshold"])


def test_rows_that_cannot_be_scored_are_kept_with_the_reason(spark, config):
    bad = [
        (None, [1], [1.0]),
        ("null vector", None, None),
        ("ragged", [1, 2], [1.0]),
        ("outside", [99], [1.0]),
        ("negative", [-1], [1.0]),
        ("nan", [1], [float("nan")]),
        ("infinite", [1], [float("inf")]),
        ("null id", [1, None], [1.0, 1.0]),
        ("null weight", [1], [None]),
    ]
    build(spark, config, [*vectors(5), *bad, ("empty", [], [])])
    run(config)
    assert set(predictions(spark, config)["entity_id"]) == {*(v[0] for v in vectors(5)), "empty"}
    quarantine = Tables(config, spark).read("quarantine").where("stage = 'score'").toPandas()
    assert len(quarantine) == len(bad)
    facts = summary.read(Layout.of(config), "score")
    assert facts["entities"] == 6
    assert facts["unscorable"] == {
        "no entity_id": 1,
        "no concept vector": 1,
        "concept_ids and concept_weights differ in length": 1,
        "a concept id is not in the vocabulary": 2,
        "a concept id is null": 1,
        "a concept weight is not a finite number": 3,
    }


def test_a_vocabulary_the_model_does_not_know_is_refused(spark, config):
    build(spark, config, vectors(3))
    changed_df = spark.createDataFrame(
        [(0, "other", "s.r", 3)], "concept_id int, concept string, field string, entities long"
    )
    Tables(config, spark).replace("vocabulary", changed_df)
    with pytest.raises(UserError, match="vocabulary"):
        run(config)
    assert not Tables(config, spark).exists("predictions")


def test_a_run_date_that_is_none_is_refused(spark, make_config):
    with pytest.raises(UserError, match=r"score\.run_date"):
        run(make_config("score.run_date=yesterday"))


def test_a_model_that_is_not_there_is_named(spark, config):
    with pytest.raises(UserError, match="train stage"):
        run(config)


def test_predictions_can_go_to_a_table_of_sparks_catalog(spark, make_config, tmp_path):
    config = make_config("score.table=marketing.predictions", "score.run_id=first")
    build(spark, config, vectors(6))
    spark.sql(f"CREATE DATABASE IF NOT EXISTS marketing LOCATION '{tmp_path / 'marketing'}'")
    try:
        run(config)
        run(config)
        table = spark.table("marketing.predictions").toPandas()
        assert len(table) == 6 * len(SEGMENTS)
        assert not Tables(config, spark).exists("predictions")
    finally:
        spark.sql("DROP DATABASE marketing CASCADE")


def test_tables_kept_as_parquet_are_refused_before_work(spark, make_config):
    with pytest.raises(UserError, match=r"spark\.tables"):
        run(make_config("spark.tables=parquet"))


def test_a_vocabulary_that_has_grown_scores_as_before(spark, config):
    rows = vectors(9)
    new = [VOCABULARY, VOCABULARY + 1]
    grown = [(f"new{entity}", [*ids, *new], [*weights, 5.0, 7.0]) for entity, ids, weights in rows]
    strange = ("strange", [0, VOCABULARY + 3], [1.0, 1.0])
    build(spark, config, [*rows, *grown, strange])
    concepts = [(n, f"s.r={n}", "s.r", 5) for n in range(VOCABULARY + 3)]
    schema = "concept_id int, concept string, field string, entities long"
    Tables(config, spark).replace("vocabulary", spark.createDataFrame(concepts, schema))
    run(config)
    scores = predictions(spark, config).set_index(["entity_id", "segment"])["score"].to_dict()
    assert len(scores) == 18 * len(SEGMENTS)
    for (entity, segment), score in scores.items():
        assert score == scores[(entity.removeprefix("new"), segment)]
    facts = summary.read(Layout.of(config), "score")
    assert (facts["unknown_concepts"], facts["ignored_entries"]) == (3, 18)
    assert facts["unscorable"] == {"a concept id is not in the vocabulary": 1}
