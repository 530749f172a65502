"""Small sources for the tests of unfolding, and what came of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipeline import summary
from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.tables import Tables
from pipeline.unfold import run

CUTOFF = "2026-03-01"
SETTINGS = ("spark.tables=parquet", "unfold.vocabulary.min_entities=1", "unfold.transform=none")


def write_json(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    """A JSON-lines file; its path."""
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def event_source(path: str, rules: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Its times are UTC where `more` says nothing else."""
    source = {"name": "s", "format": "json", "path": path, "entity": "user", "time": "at", "rules": rules, **more}
    return source if "time_unit" in more or source["time"] is None else {"timezone": "UTC", **source}


def unfolded(config: Config, spark: SparkSession) -> dict[str, dict[str, float]]:
    """Run the stage: entity -> concept -> weight."""
    run(config)
    return vectors_of(config, spark)


def vectors_of(config: Config, spark: SparkSession) -> dict[str, dict[str, float]]:
    tables = Tables(config, spark)
    names = dict(tables.read("vocabulary").select("concept_id", "concept").collect())
    return {
        row.entity_id: {names[one]: weight for one, weight in zip(row.concept_ids, row.concept_weights, strict=True)}
        for row in tables.read("concept_vectors").collect()
    }


def quarantined(config: Config, spark: SparkSession) -> list[tuple[str, str, dict[str, Any]]]:
    """source, reason and row of every quarantined row."""
    rows = Tables(config, spark).read("quarantine").collect()
    return [(row["source"], row["reason"], json.loads(row["row"])) for row in rows]


def facts_of(config: Config) -> dict[str, Any]:
    return summary.read(Layout.of(config), "unfold")
