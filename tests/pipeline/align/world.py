"""A small world for whole-stage tests: events, a label table, and what unfolding them would give."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

ENTITIES = 240
CUTOFF = datetime(2026, 3, 1)
UTC = {"timezone": "UTC"}
VECTORS = pa.schema(
    {"entity_id": pa.string(), "concept_ids": pa.list_(pa.int32()), "concept_weights": pa.list_(pa.float32())}
)
VOCABULARY = pa.schema({"concept_id": pa.int32(), "concept": pa.string(), "field": pa.string(), "entities": pa.int64()})
CONCEPTS = ["events.page=home", "events.page=checkout", "events.page=relative", "events.page=chance", "events.tag=x"]


def write_world(folder: Path) -> None:
    """Entity i buys where 4 divides i, views where i is even, and is listed where 3 divides i."""
    _write(folder / "events.parquet", _events())
    _write(folder / "profile.parquet", [_profile(i) for i in range(ENTITIES)])
    listed = [{"entity_id": f"u{i}", "segment": "listed", "label": str(i % 2)} for i in range(0, ENTITIES, 3)]
    _write(folder / "listed.parquet", [*listed, {"entity_id": "u1", "segment": "listed", "label": "much"}])
    _write(folder / "concept_vectors.parquet", [_vector(i) for i in range(ENTITIES)], VECTORS)
    vocabulary = [
        {"concept_id": i, "concept": name, "field": name.split("=")[0], "entities": 9}
        for i, name in enumerate(CONCEPTS)
    ]
    _write(folder / "vocabulary.parquet", vocabulary, VOCABULARY)


def unfolded(spark: SparkSession, folder: Path, table: str) -> DataFrame:
    return spark.read.parquet(str(folder / f"{table}.parquet"))


def sections_of(folder: Path) -> dict[str, Any]:
    """The configuration of a run over the world."""
    return {
        "sources": [
            {"name": "events", "path": str(folder / "events.parquet"), "entity": "user", "time": "at", **UTC},
            {"name": "profile", "path": str(folder / "profile.parquet"), "entity": "user"},
        ],
        "unfold": {"cutoff": "2026-03-01", "horizon_days": 7},
        "label_tables": [{"name": "lists", "path": str(folder / "listed.parquet")}],
        "segments": [
            {"name": "buyer", "label": {"source": "events", "expression": "action = 'buy'"}, "own": ["*=checkout"]},
            {
                "name": "viewer_buys",
                "label": {"source": "events", "expression": "action = 'buy'"},
                "sample_space": "action = 'view'",
            },
            {
                "name": "spent",
                "kind": "regression",
                "group": "money",
                "label": {"source": "events", "expression": "amount", "aggregate": "sum"},
            },
            {
                "name": "level",
                "kind": "multiclass",
                "classes": ["a", "b"],
                "label": {"source": "profile", "expression": "level", "aggregate": "last"},
            },
            {"name": "nobody", "label": {"source": "events", "expression": "action = 'fly'"}},
            {"name": "listed", "label": {"table": "lists"}, "sample_space": "labelled"},
        ],
        "align": {"on_degenerate": "skip", "shards": {"rows_per_group": 16, "rows_per_file": 64}},
    }


def _events() -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for i in range(ENTITIES):
        actions = ["view"] * (i % 2 == 0) + ["buy"] * (i % 4 == 0)
        for day, action in enumerate(actions):
            events.append({"user": f"u{i}", "at": CUTOFF + timedelta(days=day), "action": action, "amount": float(i)})
        # Outside the label window: before the cutoff, and a horizon later.
        for when in (CUTOFF - timedelta(seconds=1), CUTOFF + timedelta(days=7)):
            events.append({"user": f"u{i}", "at": when, "action": "buy", "amount": 1e6})
    return events


def _profile(i: int) -> dict[str, Any]:
    return {"user": f"u{i}", "level": "ab"[i // 8 % 2], "part": "test" if i % 5 == 0 else "train"}


def _vector(i: int) -> dict[str, Any]:
    has = [True, i % 4 == 0 and i % 8 == 0, i % 4 == 0, i in (4, 8), i % 7 == 0]
    ids = [concept for concept, there in enumerate(has) if there]
    return {"entity_id": f"u{i}", "concept_ids": ids, "concept_weights": [0.5 + concept for concept in ids]}


def _write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
