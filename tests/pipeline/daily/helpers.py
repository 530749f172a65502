"""Events that come in files, day by day; what the daily stage makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipeline.config import Config
from pipeline.tables import Tables
from tests.pipeline.unfold.cutoff_cases import TRIPLES
from tests.pipeline.unfold.helpers import event_source, write_json

CUTOFF = "2026-03-01"
SETTINGS = ("unfold.vocabulary.min_entities=1", "spark.shuffle_partitions=2")
TYPES = {"value": "double", "tags": "array<string>", "scores": "map<string,double>"}
PROFILE = [{"user": "u0", "age": 3}, {"user": "static", "age": 4}]


def write_events(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """A file of events, in place of one of the same name."""
    (folder / "events").mkdir(parents=True, exist_ok=True)
    write_json(folder / "events", name, rows)


def sections(folder: Path, rules: list[dict[str, Any]], workdir: str = "work", **unfold: Any) -> dict[str, Any]:
    """A timed source in {folder}/events, a profile without time, a knowledge base."""
    triples = [dict(zip(("head", "relation", "tail"), triple, strict=True)) for triple in TRIPLES]
    profile = {"name": "profile", "format": "json", "entity": "user", "path": write_json(folder, "profile", PROFILE)}
    return {
        "run": {"workdir": str(folder / workdir)},
        "sources": [
            event_source(str(folder / "events"), rules, types=TYPES),
            {**profile, "rules": [{"name": "age", "kind": "field", "column": "age"}]},
        ],
        "knowledge_base": {"format": "json", "path": write_json(folder, "triples", triples)},
        "unfold": {"cutoff": CUTOFF, **unfold},
    }


def bytes_of(config: Config, spark: SparkSession, leave_out: str = "none") -> list[str]:
    """Vocabulary and vectors as text, weights to the bit; without fields whose name holds `leave_out`."""
    tables = Tables(config, spark)
    vocabulary_df = tables.read("vocabulary")
    fields = {row["concept_id"]: row["field"] for row in vocabulary_df.collect()}
    lines = [json.dumps(list(row)) for row in vocabulary_df.collect() if leave_out not in row["field"]]
    for row in tables.read("concept_vectors").collect():
        pairs = zip(row["concept_ids"], row["concept_weights"], strict=True)
        kept = [(concept, weight.hex()) for concept, weight in pairs if leave_out not in fields[concept]]
        lines.append(json.dumps([row["entity_id"], kept]))
    return sorted(lines)
