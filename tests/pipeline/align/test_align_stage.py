"""The stage as a whole: tables and sources in, shards out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from pyspark.sql import SparkSession

from pipeline import summary
from pipeline.align import run
from pipeline.align.inputs import read_inputs
from pipeline.config import Config, load_config
from pipeline.cutoffs import write_cutoff
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.shards.batches import Matrix, load_csr
from pipeline.shards.dataset import ShardSet, open_shards
from pipeline.tables import Tables
from tests.pipeline.align.world import ENTITIES, sections_of, unfolded, write_world

SPLITS = ("support", "validation", "query")


def make_config(world: Path, workdir: Path, *overrides: str, **sections: object) -> Config:
    path = workdir.with_suffix(".yaml")
    path.write_text(yaml.safe_dump({**sections_of(world), **sections}), encoding="utf-8")
    return load_config([path], [f"run.workdir={workdir}", "spark.tables=parquet", *overrides])


def with_unfolded_tables(config: Config, spark: SparkSession, world: Path) -> Config:
    for name in ("concept_vectors", "vocabulary"):
        Tables(config, spark).replace(name, unfolded(spark, world, name))
    return config


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    return folder


@pytest.fixture(scope="module")
def finished(spark: SparkSession, world: Path) -> Config:
    """A run of the stage."""
    config = with_unfolded_tables(make_config(world, world / "finished"), spark, world)
    run(config)
    return config


@pytest.fixture(scope="module")
def shards(finished: Config) -> ShardSet:
    return open_shards(Layout.of(finished))


@pytest.fixture(scope="module")
def matrices(shards: ShardSet) -> dict[str, Matrix]:
    return {split: load_csr(shards, split) for split in SPLITS}


def labels_of(matrices: dict[str, Matrix], task: int) -> dict[int, float]:
    """Entity number -> label, over all splits."""
    found = {}
    for matrix in matrices.values():
        rows, labels = matrix.of_task(task)
        found |= {int(matrix.entity_ids[row][1:]): float(label) for row, label in zip(rows, labels, strict=True)}
    return found


def test_degenerate_segments_are_skipped_and_named(finished: Config, shards: ShardSet) -> None:
    assert [task.name for task in shards.tasks] == ["buyer", "viewer_buys", "spent", "level", "listed"]
    assert summary.read(Layout.of(finished), "align")["left_out"] == {"nobody": "no positives"}


def test_pairs_are_what_the_segments_say(matrices: dict[str, Matrix]) -> None:
    everyone = range(ENTITIES)
    assert labels_of(matrices, 0) == {i: float(i % 4 == 0) for i in everyone}
    assert labels_of(matrices, 1) == {i: float(i % 4 == 0) for i in everyone if i % 2 == 0}
    assert labels_of(matrices, 2) == {i: float(i * (i % 2 == 0) + i * (i % 4 == 0)) for i in everyone}
    assert labels_of(matrices, 3) == {i: float(i // 8 % 2) for i in everyone}
    assert labels_of(matrices, 4) == {i: float(i % 2) for i in everyone if i % 3 == 0}


def test_an_entity_is_in_one_split_for_every_task(matrices: dict[str, Matrix]) -> None:
    entities = [entity for matrix in matrices.values() for entity in matrix.entity_ids]
    assert sorted(entities) == sorted(f"u{i}" for i in range(ENTITIES))
    assert all(matrix.entity_ids for matrix in matrices.values())


def test_rows_stand_in_shuffled_order_with_their_concepts(shards: ShardSet, matrices: dict[str, Matrix]) -> None:
    numbers = [int(entity[1:]) for entity in matrices["support"].entity_ids]
    assert np.abs(np.corrcoef(numbers, np.arange(len(numbers)))[0, 1]) < 0.3
    (row,) = (place for place, number in enumerate(numbers) if number == max(n for n in numbers if n % 56 == 0))
    vector = matrices["support"].features[row]
    assert dict(zip(vector.indices.tolist(), vector.data.tolist(), strict=True)) == {0: 0.5, 1: 1.5, 2: 2.5, 4: 4.5}
    for split in shards.manifest.splits.values():
        for file in split.files:
            assert all(rows == 16 for rows in file.row_groups[:-1])


def test_counts_and_groups_are_in_the_manifest(shards: ShardSet) -> None:
    tasks = {task.name: task for task in shards.manifest.tasks}
    assert sum(tasks["buyer"].positives.values()) == ENTITIES // 4
    assert sum(tasks["viewer_buys"].pairs.values()) == ENTITIES // 2
    assert tasks["level"].classes == ["a", "b"]
    assert (tasks["buyer"].group, tasks["spent"].group) == ("niche", "money")
    for split in SPLITS:
        assert shards.manifest.splits[split].pairs == sum(task.pairs[split] for task in tasks.values())


def test_masks_are_in_the_table_and_in_the_shards(finished: Config, shards: ShardSet, spark: SparkSession) -> None:
    rows = Tables(finished, spark).read("masks").collect()
    masks = {(row["segment"], row["concept"]): row["reason"] for row in rows}
    assert masks["buyer", "events.page=checkout"] == "own"
    assert masks["buyer", "events.page=relative"] == "implies"
    assert masks["viewer_buys", "events.page=relative"] == "implies"
    assert "events.page=chance" not in {concept for _, concept in masks}
    concepts = shards.concepts()
    tensors = shards.masks()
    bounds = tensors.mask_offsets.tolist()
    for task_id, task in enumerate(shards.tasks):
        mask = int(tensors.task_mask[task_id])
        ids = tensors.mask_concepts[bounds[mask] : bounds[mask + 1]].tolist()
        assert {concepts[i] for i in ids} == {concept for segment, concept in masks if segment == task.name}


def test_bad_labels_are_quarantined_and_counted(finished: Config, spark: SparkSession) -> None:
    (row,) = Tables(finished, spark).read("quarantine").collect()
    assert (row["stage"], row["source"], row["reason"]) == ("align", "lists", "label much is neither 0 nor 1")
    assert "u1" in row["row"]
    facts = summary.read(Layout.of(finished), "align")
    assert facts["quarantined"] == 1
    assert facts["masked"]["own"] == 1
    assert sum(facts["rows"].values()) == ENTITIES


def test_another_number_of_partitions_gives_the_same_bytes(
    finished: Config, shards: ShardSet, spark: SparkSession, world: Path
) -> None:
    config = make_config(world, world / "again")
    for name in ("concept_vectors", "vocabulary"):
        Tables(config, spark).replace(
            name, unfolded(spark, world, name).repartition(5, "entities" if name == "vocabulary" else "entity_id")
        )
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        run(config)
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)
    again = open_shards(Layout.of(config))
    assert contents(again.folder) == contents(shards.folder)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_globs_are_matched_with_every_concept_of_a_hashed_vocabulary(spark: SparkSession, world: Path) -> None:
    config = make_config(world, world / "hashed", "unfold.vocabulary.kind=hashed")
    with_unfolded_tables(config, spark, world)
    with pytest.raises(UserError, match="no table hashed_concepts here; run the unfold stage first"):
        read_inputs(config)
    hidden_df = spark.createDataFrame([(3, "profile.age=18-24")], "concept_id int, concept string")
    Tables(config, spark).replace("hashed_concepts", hidden_df)
    assert read_inputs(config).concepts_df.collect() == [(3, "profile.age=18-24")]


def test_a_split_may_come_with_the_data(spark: SparkSession, world: Path) -> None:
    by = {"source": "profile", "column": "part", "query": ["test"]}
    config = make_config(world, world / "by", align={"split": {"by": by}})
    with_unfolded_tables(config, spark, world)
    inputs = read_inputs(config)
    query = {row["entity_id"] for row in inputs.entities_df.where("split = 'query'").collect()}
    assert query == {f"u{i}" for i in range(0, ENTITIES, 5)}
    wrong = make_config(world, world / "by", align={"split": {"by": {**by, "column": "prt"}}})
    with pytest.raises(UserError, match=r"align\.split\.by: source profile: no column prt; .*: user, level, part"):
        read_inputs(wrong)


def test_entities_of_one_key_are_in_one_split(spark: SparkSession, world: Path) -> None:
    key = {"source": "profile", "column": "level"}
    config = make_config(world, world / "key", align={"split": {"key": key}})
    with_unfolded_tables(config, spark, world)
    rows = read_inputs(config).entities_df.collect()
    levels = {row["user"]: row["level"] for row in spark.read.parquet(str(world / "profile.parquet")).collect()}
    splits: dict[str, set[str]] = {}
    for row in rows:
        if levels.get(row["entity_id"]) is not None:
            splits.setdefault(levels[row["entity_id"]], set()).add(row["split"])
    assert len(splits) > 1
    assert all(len(found) == 1 for found in splits.values())
    wrong = make_config(world, world / "key", align={"split": {"key": {**key, "column": "lvl"}}})
    with pytest.raises(UserError, match=r"align\.split\.key: source profile: no column lvl"):
        read_inputs(wrong)
    with pytest.raises(UserError, match="by and key exclude each other"):
        make_config(world, world, align={"split": {"key": key, "by": {**key, "query": ["a"]}}})


def test_a_cutoff_after_all_data_is_said_to_be_one(spark: SparkSession, world: Path) -> None:
    sections = sections_of(world)
    config = make_config(
        world,
        world / "late",
        "unfold.cutoff=2027-01-01",
        segments=[segment for segment in sections["segments"] if segment["name"] == "buyer"],
    )
    with_unfolded_tables(config, spark, world)
    with pytest.raises(UserError, match=r"source events: no rows in \[2027-01-01.*last row is at 2026-03-08.*earlier"):
        run(config)
    assert not Layout.of(config).shards.exists()


def test_unknown_entities_stop_the_run_before_anything_is_written(spark: SparkSession, world: Path) -> None:
    config = make_config(world, world / "unknown")
    vectors_df = unfolded(spark, world, "concept_vectors")
    Tables(config, spark).replace("concept_vectors", vectors_df.where("entity_id not in ('u0', 'u3')"))
    Tables(config, spark).replace("vocabulary", unfolded(spark, world, "vocabulary"))
    with pytest.raises(UserError, match=r"label table lists: 2 entities are in no source \(u0, u3\)"):
        run(config)
    assert not Layout.of(config).shards.exists()


def test_without_segments_or_vectors_there_is_nothing_to_align(world: Path) -> None:
    with pytest.raises(UserError, match="no segments declared"):
        run(make_config(world, world / "none", segments=[]))
    with pytest.raises(UserError, match="no table concept_vectors here; run the unfold stage first"):
        run(make_config(world, world / "none"))


def test_vectors_of_another_cutoff_are_refused(spark: SparkSession, world: Path, tmp_path: Path) -> None:
    """Labels would come from within the window that features come from."""
    config = with_unfolded_tables(make_config(world, tmp_path / "run"), spark, world)
    later = config.unfold.model_copy(update={"cutoff": "2026-03-05 00:00:00"})
    write_cutoff(Layout.of(config), later)
    with pytest.raises(UserError, match=r"made at the cutoff 2026-03-05 .*but the configuration says"):
        read_inputs(config)
    write_cutoff(Layout.of(config), config.unfold)
    assert read_inputs(config).vectors_df.count() > 0
