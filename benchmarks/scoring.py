"""Bulk scoring, side by side: ours, K forward passes, Spark's predict_batch_udf.

    python -m benchmarks.scoring [--size demo paper] [--rows N] [--rounds 3] [--naive-rounds 1]

The same vectors, model and Spark slots; each way ends in rows (entity, segment, score, decision) that go to Spark's
noop sink, and all must give the same scores (checked on a sixteenth of the rows).

    ours                 the stage's own mapInArrow: each distinct masked input once, then a row a segment
    naive                the same mapInArrow, but a pass a task over the rows with the task's concepts taken out
    predict_batch_udf    pyspark.ml.functions: the model's one pass over arrays padded to one length, then explode

Then, in this process and on one thread, what a row costs and where the time goes (CPU seconds).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from benchmarks.mask_trick import TASKS, simulated_batch
from models.batch import Batch
from models.masks import TaskMasks
from models.registry import build_model
from pipeline.config import load_config
from pipeline.modelfolder import Architecture, ModelSpec, TaskSpec, load_model, write_model
from pipeline.score.heads import Heads
from pipeline.score.partition import SCHEMA, partition_scorer, score_batch, scored_rows, to_batch
from pipeline.score.rows import by_segment
from pipeline.session import get_session

CONFIGURATIONS = {"demo": "conf/models/metaaug_small.yaml", "paper": "conf/models/metaaug_paper.yaml"}
ROWS = {"demo": 262_144, "paper": 65_536}
"""Of tens of seconds of work for ours: starting Spark's tasks and loading the model takes half a second."""
CHECKED = 16  # one row of so many
VOCABULARY, CONCEPTS, HITS = 20_000, 100, 1.1
BATCH_ROWS = 4096
REPOSITORY = Path(__file__).resolve().parent.parent
Way = Callable[[DataFrame], DataFrame]


def write_world(folder: Path, size: str, rows: int) -> tuple[str, str]:
    """A model of 68 tasks, half of which mask a concept, and the concept vectors; their paths."""
    torch.manual_seed(0)
    batch, masks = simulated_batch(rows, CONCEPTS, VOCABULARY, HITS, seed=0)
    fields = torch.zeros(VOCABULARY, dtype=torch.int64)
    tasks = [TaskSpec(name=f"segment_{task:02}") for task in range(TASKS)]
    configured = load_config([REPOSITORY / CONFIGURATIONS[size]]).model
    model = build_model(configured.name, [task.task() for task in tasks], masks, fields, configured.settings)
    spec = ModelSpec(
        architecture=Architecture(name=configured.name, settings=configured.settings),
        vocabulary_hash="",
        vocabulary_size=VOCABULARY,
        tasks=tasks,
        thresholds={task.name: 0.5 for task in tasks},
    )
    written = write_model(folder / f"model-{size}", model, spec)
    vectors = folder / "vectors"
    vectors.mkdir(exist_ok=True)
    offsets = pa.array(batch.row_offsets.numpy().astype(np.int32))
    table = pa.table(
        {
            "entity_id": pa.array([f"user-{row:08}" for row in range(rows)]),
            "concept_ids": pa.ListArray.from_arrays(offsets, pa.array(batch.concept_ids.numpy().astype(np.int32))),
            "concept_weights": pa.ListArray.from_arrays(offsets, pa.array(batch.concept_weights.numpy())),
        }
    )
    cores, each = os.cpu_count() or 1, -(-rows // (os.cpu_count() or 1))
    for part in range(cores):
        pa.parquet.write_table(table.slice(part * each, each), vectors / f"part-{part}.parquet")
    return str(written), str(vectors)


def naive_scorer(model_folder: str) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For mapInArrow: a pass a task, as if each were a model of its own; the model is loaded once a worker, too."""

    def score_partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        loaded = load_model(model_folder)
        torch.set_num_threads(1)
        heads = Heads.of(loaded.spec.tasks, loaded.spec.thresholds)
        for record_batch in batches:
            scores = naive_scores(loaded.model, heads, to_batch(record_batch))
            yield scored_rows(record_batch.column("entity_id"), np.arange(len(scores)), scores, heads)

    return score_partition


def naive_scores(model: torch.nn.Module, heads: Heads, batch: Batch) -> np.ndarray:
    """[rows, tasks] scores, each task's by a whole forward pass over what it may see."""
    columns = []
    with torch.inference_mode():
        for task in range(len(heads.names)):
            columns.append(model(one_task(batch, model.masks, task))[:, 0].float().numpy())
    return heads.scores(np.stack(columns, axis=1)[:, :, None])


def one_task(batch: Batch, masks: TaskMasks, task: int) -> Batch:
    """The rows without the task's masked concepts, paired with the task."""
    mask = masks.task_mask[task]
    hidden = masks.mask_concepts[masks.mask_offsets[mask] : masks.mask_offsets[mask + 1]]
    kept = torch.ones(batch.concept_ids.numel(), dtype=torch.bool)
    for concept in hidden:
        kept &= batch.concept_ids != concept
    running = torch.cat([torch.zeros(1, dtype=torch.int64), kept.cumsum(0)])
    return Batch(
        concept_ids=batch.concept_ids[kept],
        concept_weights=batch.concept_weights[kept],
        row_offsets=running[batch.row_offsets],
        pair_rows=torch.arange(batch.rows),
        pair_tasks=torch.full((batch.rows,), task),
        labels=torch.zeros(batch.rows),
    )


def with_arrow(vectors_df: DataFrame, scorer: Any) -> DataFrame:
    names = [f"segment_{task:02}" for task in range(TASKS)]
    return by_segment(vectors_df.mapInArrow(scorer, SCHEMA), names)


def with_predict_batch_udf(vectors_df: DataFrame, model_folder: str, longest: int) -> DataFrame:
    """predict_batch_udf takes arrays of one length: rows are padded with weights of 0, which add nothing."""

    def make_predict() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        loaded = load_model(model_folder)
        torch.set_num_threads(1)
        heads = Heads.of(loaded.spec.tasks, loaded.spec.thresholds)

        def predict(ids: np.ndarray, weights: np.ndarray) -> np.ndarray:
            rows = len(ids)
            batch = Batch(
                concept_ids=torch.from_numpy(ids.ravel().astype(np.int64)),
                concept_weights=torch.from_numpy(weights.ravel().astype(np.float32)),
                row_offsets=torch.arange(rows + 1) * ids.shape[1],
                pair_rows=torch.zeros(0, dtype=torch.int64),
                pair_tasks=torch.zeros(0, dtype=torch.int64),
                labels=torch.zeros(0),
            )
            with torch.inference_mode():
                logits = loaded.model(batch.with_all_tasks(TASKS)).numpy()
            return heads.scores(logits.reshape(rows, TASKS, 1)).astype(np.float32)

        return predict

    predict = predict_batch_udf(
        make_predict,
        return_type=T.ArrayType(T.FloatType()),
        batch_size=BATCH_ROWS,
        input_tensor_shapes=[[longest], [longest]],
    )

    def padded(name: str, kind: str) -> Any:
        filler = F.array_repeat(F.lit(0).cast(kind), longest)
        return F.slice(F.concat(F.col(name), filler), 1, longest)

    scored_df = vectors_df.select(
        "entity_id", predict(padded("concept_ids", "int"), padded("concept_weights", "float")).alias("scores")
    )
    names = F.array(*[F.lit(f"segment_{task:02}") for task in range(TASKS)])
    exploded_df = scored_df.select("entity_id", F.posexplode("scores").alias("place", "score"))
    return exploded_df.select(
        "entity_id",
        F.element_at(names, F.col("place") + 1).alias("segment"),
        F.col("score").cast("double").alias("score"),
        (F.col("score") >= 0.5).alias("decision"),
    )


def check_alike(ways: dict[str, Way], vectors_df: DataFrame) -> None:
    """All ways give the same rows of these, up to rounding."""
    sums = {}
    for name, way in ways.items():
        row = (
            way(vectors_df)
            .agg(F.count("*"), F.sum("score"), F.sum(F.col("score") * F.hash("entity_id", "segment")))
            .first()
        )
        assert row is not None
        sums[name] = tuple(row)
    reference = sums["ours"]
    for name, found in sums.items():
        if found[0] != reference[0] or not np.allclose(found[1:], reference[1:], rtol=1e-4):
            raise AssertionError(f"{name} gives other scores than ours: {found}, {reference}")


def measure(ways: dict[str, Way], vectors_df: DataFrame, rounds: dict[str, int]) -> dict[str, list[float]]:
    """Seconds of each way, taking turns; the check before has warmed workers and caches."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(max(rounds.values())):
        for name, way in ways.items():
            if number < rounds[name]:
                start = time.perf_counter()
                way(vectors_df).write.format("noop").mode("overwrite").save()
                seconds[name].append(time.perf_counter() - start)
                sys.stderr.write(f"round {number + 1} {name}: {seconds[name][-1]:.1f} s\n")
    return seconds


def breakdown(model_folder: str, vectors: str, naive_rows: int) -> dict[str, float]:
    """CPU microseconds a row on one thread: decoding, the model, scores, rows; naive for comparison."""
    loaded = load_model(model_folder)
    torch.set_num_threads(1)
    heads = Heads.of(loaded.spec.tasks, loaded.spec.thresholds)
    record_batch = pa.parquet.read_table(vectors).slice(0, BATCH_ROWS).combine_chunks().to_batches()[0]
    rows = record_batch.num_rows
    batch = to_batch(record_batch)
    with torch.inference_mode():
        logits = loaded.model(batch.with_all_tasks(TASKS)).numpy().reshape(rows, TASKS, 1)
    scores = heads.scores(logits)

    def model_pass() -> None:
        with torch.inference_mode():
            loaded.model(batch.with_all_tasks(TASKS))

    parts: dict[str, Callable[[], Any]] = {
        "decode": lambda: to_batch(record_batch),
        "model": model_pass,
        "scores": lambda: heads.scores(logits),
        "rows": lambda: scored_rows(record_batch.column("entity_id"), np.arange(rows), scores, heads),
        "all": lambda: score_batch(loaded.model, heads, record_batch),
    }
    microseconds = {name: 1e6 * _cpu(part) / rows for name, part in parts.items()}
    few = record_batch.slice(0, naive_rows)
    microseconds["naive"] = 1e6 * _cpu(lambda: naive_scores(loaded.model, heads, to_batch(few)), 1) / few.num_rows
    return microseconds


def _cpu(part: Callable[[], Any], repeats: int = 5) -> float:
    part()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        part()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def run_size(spark: SparkSession, folder: Path, size: str, rows: int, options: argparse.Namespace) -> dict[str, Any]:
    model_folder, vectors = write_world(folder, size, rows)
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH_ROWS))
    vectors_df = spark.read.parquet(vectors).repartition(os.cpu_count() or 1, "entity_id").persist()
    longest = vectors_df.agg(F.max(F.size("concept_ids"))).first()[0]  # type: ignore[index]
    ways: dict[str, Way] = {
        "ours": lambda rows_df: with_arrow(rows_df, partition_scorer(model_folder)),
        "naive": lambda rows_df: with_arrow(rows_df, naive_scorer(model_folder)),
        "predict_batch_udf": lambda rows_df: with_predict_batch_udf(rows_df, model_folder, longest),
    }
    check_alike(ways, vectors_df.where(F.pmod(F.xxhash64("entity_id"), F.lit(CHECKED)) == 0))
    seconds = measure(
        ways, vectors_df, {name: options.naive_rounds if name == "naive" else options.rounds for name in ways}
    )
    vectors_df.unpersist()
    return {"seconds": seconds, "microseconds": breakdown(model_folder, vectors, options.naive_cpu_rows)}


def show(size: str, rows: int, found: dict[str, Any]) -> None:
    medians = {name: statistics.median(of) for name, of in found["seconds"].items()}
    lines = [f"\n{size}: {rows:,} rows, {TASKS} segments, {os.cpu_count()} cores, medians\n"]
    lines += ["| way | seconds | rows a second | its time / ours |", "|---|---:|---:|---:|"]
    for name, median in medians.items():
        lines.append(f"| {name} | {median:.2f} | {rows / median:,.0f} | {median / medians['ours']:.1f} |")
    costs = found["microseconds"]
    parts = ", ".join(f"{name} {value:,.0f}" for name, value in costs.items() if name not in ("all", "naive"))
    lines.append(
        f"\nCPU microseconds a row on one thread: {costs['all']:,.0f} ({parts}); naive {costs['naive']:,.0f}, "
        f"{costs['naive'] / costs['all']:.1f} x ours"
    )
    sys.stdout.write("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--rows", type=int, help=f"default: {ROWS}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--naive-rounds", type=int, default=1)
    parser.add_argument("--naive-cpu-rows", type=int, default=512, help="rows of the naive way in the CPU breakdown")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        spark = get_session(load_config([], ["run.name=benchmark", f"spark.master=local[{os.cpu_count()}]"]))
        for size in options.size:
            rows = options.rows or ROWS[size]
            results[size] = run_size(spark, Path(scratch), size, rows, options)
            show(size, rows, results[size])
        spark.stop()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
