"""The unfold stage: sources -> `concept_vectors`, `vocabulary`, `quarantine`, and a profile of the data."""

from __future__ import annotations

import logging
import time
from functools import reduce
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline import summary
from pipeline.config import Config
from pipeline.config.data import Source
from pipeline.environment import check_writable
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.quarantine import Quarantine
from pipeline.session import get_session
from pipeline.sources import CORRUPT, DEFECT, bad_rows, read_marked, read_source
from pipeline.splits import SUPPORT, query_entities, with_split
from pipeline.tables import Tables
from pipeline.unfold.associations import Field, associations, fields_of
from pipeline.unfold.knowledge import check_paths, read_triples
from pipeline.unfold.vectors import concept_vectors, merge_ids, with_idf
from pipeline.unfold.vocabulary import (
    collision_rate,
    count_concepts,
    hash_concepts,
    number_concepts,
    vocabulary_table,
)

logger = logging.getLogger(__name__)


def run(config: Config) -> None:
    """Unfold all sources. Raises UserError for anything in them that does not fit the configuration."""
    started = time.monotonic()
    layout = Layout.of(config)
    _check_config(config)
    check_writable(layout.workdir)
    spark = get_session(config)
    tables = Tables(config, spark)
    marked = {source.name: read_marked(config, source) for source in config.sources}
    triples_df = read_triples(config, config.knowledge_base).persist() if config.knowledge_base else None
    check_paths(config, triples_df)
    facts: dict[str, Any] = {
        "sources": {source.name: _profile(marked[source.name], config) for source in config.sources}
    }
    _check_window(config, facts["sources"])
    Quarantine(config, "unfold").replace_df(
        _union([bad_rows(marked[source.name], source) for source in config.sources])
    )

    fields = fields_of(config.sources)
    parts = [
        associations(_good(marked[source.name]), source, fields, config.unfold, triples_df)
        for source in config.sources
        if source.rules
    ]
    associations_df = _union(parts).persist(StorageLevel.MEMORY_AND_DISK)
    counted_df = count_concepts(associations_df, fields)
    vocabulary = config.unfold.vocabulary
    if vocabulary.kind == "exact":
        numbered_df = number_concepts(counted_df, vocabulary)
    else:
        numbered_df = hash_concepts(counted_df, vocabulary).persist()
        facts["collision_rate"] = collision_rate(numbered_df)
    if numbered_df.isEmpty():
        raise UserError(
            f"no concept is left: none has {vocabulary.min_entities} entities (unfold.vocabulary.min_entities) among "
            f"the rows before {config.unfold.cutoff}; lower it, or look at the sources' paths and rules"
        )
    tables.replace("vocabulary", vocabulary_table(numbered_df, fields, vocabulary, spark))
    _write_vectors(config, tables, associations_df, numbered_df)
    facts |= _vocabulary_facts(tables, fields, counted_df)
    for cached_df in (associations_df, numbered_df, triples_df):
        if cached_df is not None:
            cached_df.unpersist()
    facts["seconds"] = round(time.monotonic() - started, 1)
    summary.write(layout, "unfold", facts)
    logger.info(
        "unfolded %d entities into %d concepts (%.1f an entity) in %.1f s",
        facts["entities"],
        facts["vocabulary_size"],
        facts["concepts_per_entity"],
        facts["seconds"],
    )


def _check_config(config: Config) -> None:
    if not any(source.rules for source in config.sources):
        raise UserError("no source with rules is declared: nothing to unfold; see sources in the README")
    for source in config.sources:
        if source.time is not None and config.unfold.cutoff is None:
            raise UserError(f"source {source.name} has a time, so unfold.cutoff is needed")
        for rule in source.rules:
            if source.time is None and (rule.kind in ("time", "recency") or rule.aggregate == "decay"):
                raise UserError(
                    f"source {source.name}, rule {rule.name}: needs the source's time column, none is declared"
                )
    start, cutoff = config.unfold.start, config.unfold.cutoff
    if start is not None and cutoff is not None and start >= cutoff:
        raise UserError(f"unfold.start {start} is not before unfold.cutoff {cutoff}")


def _good(marked_df: DataFrame) -> DataFrame:
    return marked_df.where(F.col(DEFECT).isNull()).drop(DEFECT, CORRUPT)


def _union(parts: list[DataFrame]) -> DataFrame:
    return reduce(lambda above, below: above.unionByName(below), parts)


def _profile(marked_df: DataFrame, config: Config) -> dict[str, Any]:
    """Rows and entities by day and by defect, in one pass."""
    cutoff = F.lit(config.unfold.cutoff).cast("timestamp")
    is_feature = F.col("_time").isNull() | (F.col("_time") < cutoff)
    if config.unfold.start is not None:
        is_feature &= F.col("_time").isNull() | (F.col("_time") >= F.lit(config.unfold.start).cast("timestamp"))
    day = F.when(F.col(DEFECT).isNull(), F.to_date("_time").cast("string"))
    counted = (
        marked_df.groupBy(F.col(DEFECT).alias("defect"), day.alias("day"), is_feature.alias("feature"))
        .count()
        .collect()
    )
    good = [row for row in counted if row["defect"] is None]
    days: dict[str, int] = {}
    for row in good:
        if row["day"] is not None:
            days[row["day"]] = days.get(row["day"], 0) + row["count"]
    bad: dict[str, int] = {}
    for row in counted:
        if row["defect"] is not None:
            bad[row["defect"]] = bad.get(row["defect"], 0) + row["count"]
    for reason, count in sorted(bad.items()):
        logger.warning("%d rows quarantined: %s", count, reason)
    return {
        "rows": sum(row["count"] for row in good),
        "feature_rows": sum(row["count"] for row in good if row["feature"]),
        "rows_by_day": dict(sorted(days.items())),
        "quarantined": bad,
    }


def _check_window(config: Config, profiles: dict[str, dict[str, Any]]) -> None:
    timed = [source for source in config.sources if source.time is not None and source.rules]
    if timed and not any(profiles[source.name]["feature_rows"] for source in timed):
        days = sorted(day for source in timed for day in profiles[source.name]["rows_by_day"])
        there = f"they lie between {days[0]} and {days[-1]}" if days else "there are none at all"
        raise UserError(
            f"no events in [{config.unfold.start or 'the beginning'}, {config.unfold.cutoff}), so no features: "
            f"{there}; move unfold.cutoff"
        )


def _write_vectors(config: Config, tables: Tables, associations_df: DataFrame, numbered_df: DataFrame) -> None:
    transform = config.unfold.transform
    if config.unfold.vocabulary.kind == "hashed":
        associations_df, numbered_df = merge_ids(associations_df, numbered_df)
    if transform == "tfidf":
        entities_df = associations_df.select("entity_id").distinct()
        split_df = with_split(entities_df, config.align.split, _query_entities(config))
        support_df = split_df.where(F.col("split") == SUPPORT).select("entity_id")
        numbered_df = with_idf(numbered_df, associations_df, support_df)
    tables.replace("concept_vectors", concept_vectors(associations_df, numbered_df, transform))


def _query_entities(config: Config) -> DataFrame | None:
    by = config.align.split.by
    if by is None:
        return None
    source: Source = next(one for one in config.sources if one.name == by.source)
    return query_entities(read_source(config, source), config.align.split)


def _vocabulary_facts(tables: Tables, fields: list[Field], counted_df: DataFrame) -> dict[str, Any]:
    vocabulary_df = tables.read("vocabulary").where("entities > 0")
    by_field = {row["field"]: row["count"] for row in vocabulary_df.groupBy("field").count().collect()}
    vectors_df = tables.read("concept_vectors")
    row = vectors_df.agg(F.count("*").alias("entities"), F.avg(F.size("concept_ids")).alias("mean")).first()
    assert row is not None
    return {
        "entities": row["entities"],
        "concepts_per_entity": row["mean"] or 0.0,
        "vocabulary_size": tables.read("vocabulary").count(),
        "concepts_by_field": {field.name: by_field.get(field.name, 0) for field in fields},
        "concepts_found": counted_df.count(),
    }
