"""A tiny run folder that can be scored: concept vectors, vocabulary and an untrained model of three kinds of task."""

from __future__ import annotations

import torch
from pyspark.sql import SparkSession

from models.masks import TaskMasks
from models.registry import build_model
from models.task import Task
from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.modelfolder import Architecture, ModelSpec, TaskSpec, write_model
from pipeline.tables import Tables
from pipeline.vocabulary import vocabulary_hash

VOCABULARY = 12
VECTOR_SCHEMA = "entity_id string, concept_ids array<int>, concept_weights array<float>"
TASKS = [
    TaskSpec(name="travel"),
    TaskSpec(name="age", kind="multiclass", outputs=3, classes=["young", "mid", "old"]),
    TaskSpec(name="spend", kind="regression"),
    TaskSpec(name="sports"),
]
SEGMENTS = ["travel", "age=young", "age=mid", "age=old", "spend", "sports"]
MASKS = [[0, 1], [2], [], [0, 1]]


def vectors(entities: int) -> list[tuple[str, list[int], list[float]]]:
    return [(f"u{n:03}", [n % 3, 3 + n % 4, 7 + n % 5], [1.0, 0.5, 1.0 + n % 2]) for n in range(entities)]


def build(spark: SparkSession, config: Config, rows: list[tuple]) -> torch.nn.Module:
    tables = Tables(config, spark)
    tables.replace("concept_vectors", spark.createDataFrame(rows, VECTOR_SCHEMA))
    concepts = [(n, f"s.r={n}", "s.r", 5) for n in range(VOCABULARY)]
    schema = "concept_id int, concept string, field string, entities long"
    tables.replace("vocabulary", spark.createDataFrame(concepts, schema))
    torch.manual_seed(0)
    settings = {"embedding_dim": 8, "expert_layers": 2, "expert_width": 8, "gate_hidden": 4, "tower_hidden": 4}
    masks = TaskMasks(MASKS, VOCABULARY)
    fields = torch.zeros(VOCABULARY, dtype=torch.int64)
    tasks = [Task(name=task.name, kind=task.kind, outputs=task.outputs) for task in TASKS]
    model = build_model("metaaug", tasks, masks, fields, settings)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    spec = ModelSpec(
        architecture=Architecture(name="metaaug", settings=settings),
        vocabulary_hash=vocabulary_hash(tables.read("vocabulary")),
        vocabulary_size=VOCABULARY,
        tasks=TASKS,
        thresholds={"travel": 0.4, "sports": 0.6},
    )
    write_model(Layout.of(config).model, model, spec)
    return model.eval()
