"""Segments made of others, lookalikes of a list of seeds, sample spaces of their own, tasks that share nothing; and
what nearly determines a label. One run of the stage for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline import summary
from pipeline.align import run
from pipeline.align.masks import glob_concepts, masks_table
from pipeline.config import Config
from pipeline.config.segments import Label, Segment
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.shards.batches import load_csr
from pipeline.shards.dataset import open_shards
from pipeline.tables import Tables
from tests.pipeline.align.helpers import make_segment
from tests.pipeline.align.test_align_stage import make_config, with_unfolded_tables
from tests.pipeline.align.world import ENTITIES, sections_of, write_world

# In this world entity i buys where 4 divides i, views where i is even, and level is b where i // 8 is odd.
BUY = {"source": "events", "expression": "action = 'buy'"}
SEGMENTS: list[dict[str, Any]] = [
    {"name": "both", "label": {"all": ["buyer", "fifth", "fifth_in_b"]}, "mask": ["*.tag=x"]},
    {"name": "either", "label": {"any": ["buyer", "fifth"]}},
    {"name": "not_buyer", "label": {"none": ["buyer"]}},
    {"name": "deep", "label": {"all": ["either"], "none": ["third", "nobody"]}},
    {"name": "buyer", "label": BUY, "own": ["*=checkout"]},
    {"name": "third", "label": {"table": "lists", "segment": "listed"}, "sample_space": "labelled"},
    {"name": "fifth", "label": {"table": "seeds"}},
    {
        "name": "fifth_in_b",
        "label": {"table": "seeds"},
        "sample_space": {"source": "profile", "condition": "level = 'b'"},
    },
    {
        "name": "viewer_level",
        "kind": "multiclass",
        "classes": ["a", "b"],
        "label": {"source": "profile", "expression": "level", "aggregate": "last"},
        "sample_space": {"source": "events", "condition": "action = 'view'"},
    },
    {
        "name": "before",
        "label": BUY,
        "sample_space": {"source": "events", "condition": "action = 'buy'", "window": "features"},
    },
    {"name": "nobody", "label": {"source": "events", "expression": "action = 'fly'"}, "mask": ["*=relative"]},
    {"name": "islander", "label": {"table": "island"}, "sample_space": "labelled"},
]
ISLAND = range(1000, 1030)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world, and an island: entities of their own, of a concept of their own, with a label table of their own."""
    folder = tmp_path_factory.mktemp("composed")
    write_world(folder)
    write(folder / "seeds.parquet", [{"person": f"u{i}"} for i in range(0, ENTITIES, 5)])
    write(folder / "island.parquet", [{"entity_id": f"u{i}", "label": str(i % 2)} for i in ISLAND])
    vectors = pq.read_table(folder / "concept_vectors.parquet")
    # 39 of 40 buyers have concept 6, and one other: nearly determined, and no implication.
    rows = vectors.to_pylist()
    for i, row in enumerate(rows):
        if i in (1, *range(0, 156, 4)):
            row["concept_ids"].append(6)
            row["concept_weights"].append(1.0)
    rows += [{"entity_id": f"u{i}", "concept_ids": [5], "concept_weights": [1.0]} for i in ISLAND]
    pq.write_table(pa.Table.from_pylist(rows, vectors.schema), folder / "concept_vectors.parquet")
    vocabulary = pq.read_table(folder / "vocabulary.parquet")
    more = [(5, "island.palm=1", "island.palm"), (6, "events.page=cart", "events.page")]
    entries = [{"concept_id": i, "concept": name, "field": field, "entities": 9} for i, name, field in more]
    added = pa.Table.from_pylist(entries, vocabulary.schema)
    pq.write_table(pa.concat_tables([vocabulary, added]), folder / "vocabulary.parquet")
    return folder


@pytest.fixture(scope="module")
def finished(spark: SparkSession, world: Path) -> Config:
    sections = sections_of(world)
    tables = [
        *sections["label_tables"],
        {"name": "seeds", "path": str(world / "seeds.parquet"), "entity": "person", "segment": None, "label": None},
        {"name": "island", "path": str(world / "island.parquet"), "segment": None},
    ]
    settings = {"segments": SEGMENTS, "label_tables": tables}
    config = make_config(world, world / "finished", "align.masks.alpha=0.9", **settings)
    with_unfolded_tables(config, spark, world)
    run(config)
    return config


@pytest.fixture(scope="module")
def labels(finished: Config) -> dict[str, dict[int, float]]:
    """Segment -> entity number -> label, read from the shards."""
    shards = open_shards(Layout.of(finished))
    found: dict[str, dict[int, float]] = {task.name: {} for task in shards.tasks}
    for split in ("support", "validation", "query"):
        matrix = load_csr(shards, split)
        for number, task in enumerate(shards.tasks):
            rows, values = matrix.of_task(number)
            entities = [int(matrix.entity_ids[row][1:]) for row in rows]
            found[task.name] |= dict(zip(entities, map(float, values), strict=True))
    return found


@pytest.fixture(scope="module")
def masks(finished: Config, spark: SparkSession) -> dict[tuple[str, str], str]:
    rows = Tables(finished, spark).read("masks").collect()
    return {(row["segment"], row["concept"]): row["reason"] for row in rows}


EVERYONE = [*range(ENTITIES), *ISLAND]


def buys(i: int) -> bool:
    return i < ENTITIES and i % 4 == 0


def fifth(i: int) -> bool:
    return i < ENTITIES and i % 5 == 0


def test_a_composite_has_a_label_where_all_parts_have_one(labels: dict[str, dict[int, float]]) -> None:
    thirds = range(0, ENTITIES, 3)  # whose labels are i % 2
    assert labels["both"] == {i: float(buys(i) and fifth(i)) for i in range(ENTITIES) if i // 8 % 2}
    assert labels["either"] == {i: float(buys(i) or fifth(i)) for i in EVERYONE}
    assert labels["not_buyer"] == {i: float(not buys(i)) for i in EVERYONE}
    assert labels["deep"] == {i: float((buys(i) or fifth(i)) and i % 2 == 0) for i in thirds}


def test_seeds_are_the_positives_and_everybody_else_in_the_space_a_negative(
    labels: dict[str, dict[int, float]],
) -> None:
    assert labels["fifth"] == {i: float(fifth(i)) for i in EVERYONE}
    assert labels["fifth_in_b"] == {i: float(fifth(i)) for i in range(ENTITIES) if i // 8 % 2}


def test_a_space_may_be_a_condition_on_another_source(labels: dict[str, dict[int, float]]) -> None:
    assert labels["viewer_level"] == {i: float(i // 8 % 2) for i in range(0, ENTITIES, 2)}
    # Before the cutoff everybody of the world buys; the island has no events.
    assert labels["before"] == {i: float(buys(i)) for i in range(ENTITIES)}


def test_tasks_that_share_no_entity_and_no_source_stand_in_the_same_shards(labels: dict[str, dict[int, float]]) -> None:
    assert labels["islander"] == {i: float(i % 2) for i in ISLAND}
    assert not labels["islander"].keys() & labels["third"].keys()


def test_a_composite_masks_what_its_parts_mask(masks: dict[tuple[str, str], str]) -> None:
    def of(segment: str) -> dict[str, str]:
        return {concept: reason for (one, concept), reason in masks.items() if one == segment}

    assert of("buyer")["events.page=checkout"] == "own"
    assert of("buyer")["events.page=relative"] == "implies"
    assert of("not_buyer").keys() >= of("buyer").keys()
    assert of("either")["events.page=checkout"] == "family:*=checkout"
    # A part of a part, one that cannot be learnt too: the globs of `nobody` hold.
    assert of("deep")["events.page=checkout"] == "family:*=checkout"
    assert of("deep")["events.page=relative"] == "family:*=relative"


def test_what_implies_a_part_is_masked_with_its_name(spark: SparkSession) -> None:
    columns = "concept_id int, concept string, field string, entities long"
    vocabulary_df = spark.createDataFrame([(0, "a.b=c", "a.b", 9)], columns)
    segments = [make_segment("part"), Segment(name="whole", label=Label(none=["part"]))]
    columns = "task_id int, concept_id int, carriers long, purity double, p_value double"
    implying_df = spark.createDataFrame([(0, 0, 12, 1.0, 1e-9)], columns)
    globs_df = glob_concepts(vocabulary_df, segments)
    rows = masks_table(vocabulary_df, globs_df, implying_df, segments, [(1, 0)]).collect()
    assert {(row["task_id"], row["segment"], row["reason"]) for row in rows} == {
        (0, "part", "implies"),
        (1, "whole", "implies:part"),
    }


def test_what_nearly_determines_a_label_is_listed_unless_it_is_masked(finished: Config, spark: SparkSession) -> None:
    rows = Tables(finished, spark).read("near_deterministic").collect()
    found = {(row["segment"], row["concept"]): row for row in rows}
    row = found["buyer", "events.page=cart"]
    assert row["carriers"] >= 20
    assert 0.9 <= row["purity"] < 1
    assert row["lift"] > 3
    assert not {concept for _, concept in found} & {"events.page=checkout", "events.page=home", "events.page=chance"}
    assert summary.read(Layout.of(finished), "align")["near_deterministic"] == len(rows)


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ([{"name": "x", "label": {"all": ["buyr"]}}], "segment x: 'buyr' is no segment; did you mean 'buyer'"),
        ([{"name": "x", "label": {"none": ["x"]}}], "made of themselves: x -> x"),
        (
            [{"name": "x", "label": {"all": ["y", "buyer"]}}, {"name": "y", "label": {"any": ["x"]}}],
            "made of themselves: x -> y -> x",
        ),
        ([{"name": "x", "label": {"all": ["level"]}}], "level is multiclass; a composite label is of binary"),
        ([{"name": "x", "kind": "regression", "label": {"all": ["buyer"]}}], "is of kind binary"),
        ([{"name": "x", "label": {"all": ["buyer"], "table": "lists"}}], "a label needs one of"),
        ([{"name": "x", "label": {"all": []}}], "a label needs one of"),
        ([{"name": "x", "label": {"all": ["buyer"], "source": "events"}}], "has no source"),
        ([{"name": "x", "label": {"all": ["buyer"]}, "sample_space": "labelled"}], "no rows of its own"),
        (
            [{"name": "x", "label": BUY, "sample_space": {"source": "evnts", "condition": "true"}}],
            "sample_space source",
        ),
        (
            [{"name": "x", "label": {"table": "seeds"}, "sample_space": "labelled"}],
            "lists positives only.*no negatives",
        ),
        ([{"name": "x", "label": {"table": "seeds"}, "sample_space": "a > 1"}], "lists positives only.*no negatives"),
        ([{"name": "x", "kind": "regression", "label": {"table": "seeds"}}], "make no regression label"),
    ],
)
def test_compositions_that_cannot_be_are_refused(tmp_path: Path, segments: list[dict[str, Any]], words: str) -> None:
    level = {"source": "profile", "expression": "level", "aggregate": "last"}
    known = [
        {"name": "buyer", "label": BUY},
        {"name": "level", "kind": "multiclass", "classes": ["a", "b"], "label": level},
    ]
    tables = [{"name": "lists", "path": "unused"}, {"name": "seeds", "path": "unused", "label": None}]
    with pytest.raises(UserError, match=words):
        make_config(tmp_path, tmp_path / "work", segments=[*known, *segments], label_tables=tables)


def test_a_condition_that_does_not_fit_its_source_is_shown(spark: SparkSession, world: Path) -> None:
    space = {"source": "profile", "condition": "nowhere > 1"}
    config = make_config(world, world / "wrong", segments=[{"name": "x", "label": BUY, "sample_space": space}])
    with_unfolded_tables(config, spark, world)
    with pytest.raises(UserError, match=r"nowhere.*profile"):
        run(config)
