"""The score stage: checks, one transaction for the run's rows, reach, summary."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline import summary
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.faults import fault_point
from pipeline.generations import current_generation
from pipeline.layout import Layout
from pipeline.modelfolder import ModelSpec, check_vocabulary, load_model
from pipeline.quarantine import Quarantine
from pipeline.score.heads import Heads
from pipeline.score.known import count_unknown, known_concepts
from pipeline.score.partition import SCHEMA, partition_scorer
from pipeline.score.rows import by_segment
from pipeline.score.unscorable import REASON, with_unscorable_reason
from pipeline.session import get_session
from pipeline.tables import Tables
from pipeline.vocabulary import first, vocabulary_facts, vocabulary_hash

logger = logging.getLogger(__name__)

REACH = "reach"
_NOT_FINITE = "the model gives no finite score"
_BATCH_CONF = "spark.sql.execution.arrow.maxRecordsPerBatch"


def run(config: Config) -> None:
    """Score every row of `concept_vectors` for every segment of the current model.

    Writes the rows of (run_id, run_date) to the predictions table in place of what that run had there, then the
    run's rows of `reach`, the stage's part of `quarantine`, and the summary. Raises UserError before any work
    where the model, the tables or the table format do not fit.
    """
    started = time.monotonic()
    spark, tables, layout = get_session(config), Tables(config, get_session(config)), Layout.of(config)
    if config.spark.tables != "delta":
        raise UserError("spark.tables is parquet: predictions replace part of a table, which needs spark.tables: delta")
    folder = current_generation(layout.model, "model", "train").absolute()
    spec = load_model(folder).spec
    vectors_df = tables.read("concept_vectors", "the unfold")
    vocabulary_df = tables.read("vocabulary", "the unfold")
    vocabulary, known = vocabulary_facts(vocabulary_df), spec.vocabulary_size
    place = tables.path("vocabulary")
    check_vocabulary(spec, vocabulary.fingerprint, place, lambda size: vocabulary_hash(first(vocabulary_df, size)))

    checked_df = with_unscorable_reason(vectors_df, vocabulary.size)
    bad_df = checked_df.where(F.col(REASON).isNotNull())
    good_df = checked_df.where(F.col(REASON).isNull()).drop(REASON)
    ignored = 0
    if vocabulary.size > known:
        ignored = count_unknown(good_df, known)
        good_df = known_concepts(good_df, known)
        logger.warning(
            "the vocabulary has %d concepts more than the model knows: %d entries of vectors are ignored",
            vocabulary.size - known,
            ignored,
        )
    run_date = _run_date(config)
    scored_at = datetime.now(UTC).replace(tzinfo=None)
    predictions_df = _predictions(spark, config, good_df, str(folder), spec).select(
        *("entity_id", "segment", "score", "decision"),
        F.lit(folder.name).alias("model_version"),
        F.lit(config.score.run_id).alias("run_id"),
        F.lit(scored_at).cast("timestamp").alias("scored_at"),
        F.lit(run_date).cast("date").alias("run_date"),
    )
    this_run = f"run_date = '{run_date}' AND run_id = '{config.score.run_id}'"
    fault_point("score:before-predictions")
    with _arrow_batches(spark, config.score.batch_rows):
        tables.replace_where(config.score.table, predictions_df, this_run, ["run_date"])
    fault_point("score:after-predictions")

    written_df = tables.read(config.score.table).where(this_run)
    reach_df = _reach(spark, written_df, spec).persist()
    tables.replace_where(REACH, reach_df, this_run, ["run_date"])
    fault_point("score:after-reach")
    reach = {row["segment"]: row.asDict() for row in reach_df.orderBy("segment").collect()}
    reach_df.unpersist()

    scored = max((row["scored"] for row in reach.values()), default=0)
    unscorable = _quarantine(config, bad_df, good_df, written_df, scored)
    fault_point("score:before-summary")
    seconds = time.monotonic() - started
    facts: dict[str, Any] = {
        "run_id": config.score.run_id,
        "run_date": run_date,
        "model_version": folder.name,
        "entities": scored,
        "rows": sum(row["scored"] for row in reach.values()),
        "unscorable": unscorable,
        "unknown_concepts": vocabulary.size - known,
        "ignored_entries": ignored,
        "seconds": round(seconds, 3),
        "reach": {name: {key: row[key] for key in ("scored", "selected", "mean_score")} for name, row in reach.items()},
    }
    summary.write(layout, "score", facts)
    logger.info("scored %d entities, %d rows, in %.1f s", scored, facts["rows"], seconds)


def _run_date(config: Config) -> str:
    """The day that is configured, else that of the cutoff, else today (UTC)."""
    cutoff = config.unfold.cutoff
    return config.score.run_date or (cutoff[:10] if cutoff else datetime.now(UTC).date().isoformat())


def _predictions(spark: SparkSession, config: Config, vectors_df: DataFrame, folder: str, spec: ModelSpec) -> DataFrame:
    """entity_id, segment, score, decision of every scorable row.

    Few partitions are spread over all slots, by a hash of the entity: a round-robin spread can lose rows when an
    executor is lost between two attempts.
    """
    vectors_df = vectors_df.select("entity_id", "concept_ids", "concept_weights")
    wanted = config.score.partitions or spark.sparkContext.defaultParallelism
    found = vectors_df.rdd.getNumPartitions()
    if found < wanted or (config.score.partitions and found != wanted):
        vectors_df = vectors_df.repartition(wanted, "entity_id")
    scored_df = vectors_df.mapInArrow(partition_scorer(folder), SCHEMA)
    return by_segment(scored_df, Heads.of(spec.tasks, spec.thresholds).names)


def _reach(spark: SparkSession, written_df: DataFrame, spec: ModelSpec) -> DataFrame:
    """The table `reach` of a run: whom each segment selects, of its predictions."""
    cuts = spark.createDataFrame(list(spec.thresholds.items()), "segment string, threshold double")
    return (
        written_df.groupBy("segment", "model_version", "run_id", "run_date")
        .agg(
            F.count("*").alias("scored"),
            F.sum(F.col("decision").cast("long")).alias("selected"),
            F.avg("score").alias("mean_score"),
        )
        .join(F.broadcast(cuts), "segment", "left")
        .select(*("segment", "scored", "selected", "mean_score", "threshold"), *("model_version", "run_id", "run_date"))
    )


def _quarantine(
    config: Config, bad_df: DataFrame, good_df: DataFrame, written_df: DataFrame, scored: int
) -> dict[str, int]:
    """Replace the stage's part of the quarantine; reason → rows."""
    if good_df.count() > scored:
        lost_df = good_df.join(written_df.select("entity_id").distinct(), "entity_id", "left_anti")
        bad_df = bad_df.unionByName(lost_df.withColumn(REASON, F.lit(_NOT_FINITE)))
    counts = {row[REASON]: row["count"] for row in bad_df.groupBy(REASON).count().collect()}
    quarantine = Quarantine(config, "score")
    if not counts:
        quarantine.replace([])
        return {}
    for reason, count in sorted(counts.items()):
        logger.warning("%d rows cannot be scored: %s; they are in the table quarantine", count, reason)
    row = F.to_json(F.struct("entity_id", "concept_ids", "concept_weights"))
    quarantine.replace_df(bad_df.select(F.lit("concept_vectors").alias("source"), REASON, row.alias("row")))
    return dict(sorted(counts.items()))


@contextmanager
def _arrow_batches(spark: SparkSession, rows: int) -> Iterator[None]:
    """Spark hands the Python workers batches of at most this many rows."""
    before = spark.conf.get(_BATCH_CONF)
    spark.conf.set(_BATCH_CONF, str(rows))
    try:
        yield
    finally:
        spark.conf.set(_BATCH_CONF, before or "10000")
