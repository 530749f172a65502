"""The align stage from start to end."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline import summary
from pipeline.align.compositions import parts_of, with_parts_globs
from pipeline.align.implication import carriers_by_label, implying, near_deterministic
from pipeline.align.inputs import Inputs, check_windows, read_inputs
from pipeline.align.masks import glob_concepts, masks_table, warn_of_idle_globs
from pipeline.align.shards import write_splits, write_table
from pipeline.align.tasks import (
    SPLITS,
    Counts,
    count_pairs,
    count_rows,
    keep_learnable,
    renumber,
    task_entries,
    with_pairs,
)
from pipeline.config import Config
from pipeline.config.segments import Segment
from pipeline.faults import fault_point
from pipeline.generations import new_generation
from pipeline.layout import Layout
from pipeline.quarantine import Quarantine
from pipeline.session import get_session
from pipeline.shards import manifest as m
from pipeline.shards.writer import MASKS_SCHEMA, VOCABULARY_SCHEMA
from pipeline.tables import Tables
from pipeline.vocabulary import VocabularyFacts, vocabulary_facts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tasks:
    """The segments that can be learnt, in the order of their task ids; pairs_df: entity_id, split, pairs; rows: the
    entities with a pair in each split."""

    segments: Sequence[Segment]
    counts: Sequence[Mapping[str, Counts]]
    pairs_df: DataFrame
    rows: Mapping[str, int]
    left_out: Mapping[str, str]


def run(config: Config) -> None:
    """Labels, splits and masks of every segment; shards with a manifest; the tables `masks` and `quarantine`.

    Reads the tables `concept_vectors` and `vocabulary`, the sources of labels and the label tables.
    Raises UserError for bad input before anything is written.
    """
    started = time.monotonic()
    inputs = read_inputs(config)
    pairs_df = with_pairs(inputs.entities_df, inputs.hits_dfs, config.segments).persist(StorageLevel.DISK_ONLY)
    cached_dfs = [*inputs.cached_dfs, pairs_df]
    try:
        tasks = _learnable(config, inputs, pairs_df)
        fault_point("align:after-labels")
        masked_segments = with_parts_globs(tasks.segments, {segment.name: segment for segment in config.segments})
        globs_df = glob_concepts(inputs.vocabulary_df, masked_segments).persist(StorageLevel.DISK_ONLY)
        cached_dfs.append(globs_df)
        idle = warn_of_idle_globs(globs_df, masked_segments)
        vocabulary = vocabulary_facts(inputs.vocabulary_df)
        carriers_df = carriers_by_label(inputs.vectors_df, tasks.pairs_df, tasks.segments, tasks.counts)
        carriers_df = carriers_df.persist(StorageLevel.DISK_ONLY)
        cached_dfs.append(carriers_df)
        masks_df = _masks(config, inputs, tasks, vocabulary, globs_df, carriers_df).persist(StorageLevel.DISK_ONLY)
        cached_dfs.append(masks_df)
        masked = _count_reasons(masks_df)
        logger.info("masks: %s", masked["reasons"])
        fault_point("align:after-masks")
        manifest = _write_shards(config, inputs, tasks, vocabulary, masks_df)
        fault_point("align:after-shards")
        Tables(config, get_session(config)).replace("masks", masks_df)
        near = _near(config, inputs, tasks, vocabulary, masks_df, carriers_df)
        quarantined = _quarantine(config, inputs)
        fault_point("align:before-summary")
        facts = _facts(manifest, tasks, masked, idle)
        facts |= {
            "near_deterministic": near,
            "quarantined": quarantined,
            "seconds": round(time.monotonic() - started, 3),
        }
        summary.write(Layout.of(config), "align", facts)
    finally:
        for cached_df in cached_dfs:
            cached_df.unpersist()


def _learnable(config: Config, inputs: Inputs, pairs_df: DataFrame) -> _Tasks:
    segments = config.segments
    counts, rows = count_pairs(pairs_df, len(segments))
    check_windows(config, inputs, counts)
    kept, left_out = keep_learnable(segments, counts, config.align.on_degenerate)
    logger.info("%d tasks of %d segments", len(kept), len(segments))
    pairs_df = renumber(pairs_df, kept, len(segments))
    if left_out:
        rows = count_rows(pairs_df)
    return _Tasks(
        segments=[segments[place] for place in kept],
        counts=[counts[place] for place in kept],
        pairs_df=pairs_df,
        rows=rows,
        left_out=left_out,
    )


def _masks(
    config: Config,
    inputs: Inputs,
    tasks: _Tasks,
    vocabulary: VocabularyFacts,
    globs_df: DataFrame,
    carriers_df: DataFrame,
) -> DataFrame:
    implying_df = None
    if config.align.masks.implication:
        alpha = config.align.masks.alpha
        implying_df = implying(carriers_df, tasks.segments, tasks.counts, alpha, vocabulary.used)
    by_name = {segment.name: segment for segment in config.segments}
    numbers = {segment.name: task for task, segment in enumerate(tasks.segments)}
    parts = [
        (task, numbers[part])
        for task, segment in enumerate(tasks.segments)
        for part in parts_of(segment, by_name)
        if part in numbers
    ]
    return masks_table(inputs.vocabulary_df, globs_df, implying_df, tasks.segments, parts)


def _near(
    config: Config,
    inputs: Inputs,
    tasks: _Tasks,
    vocabulary: VocabularyFacts,
    masks_df: DataFrame,
    carriers_df: DataFrame,
) -> int:
    """Replace the table `near_deterministic`; how many concepts it lists."""
    found_df = near_deterministic(carriers_df, tasks.segments, tasks.counts, config.align.masks, vocabulary.used)
    names = F.array(*(F.lit(segment.name) for segment in tasks.segments))
    unmasked_df = found_df.join(masks_df.select("task_id", "concept_id"), ["task_id", "concept_id"], "left_anti")
    near_df = unmasked_df.join(inputs.vocabulary_df.select("concept_id", "concept"), "concept_id").select(
        F.get(names, F.col("task_id")).alias("segment"), "concept", "carriers", "purity", "lift"
    )
    tables = Tables(config, get_session(config))
    tables.replace("near_deterministic", near_df)
    count = tables.read("near_deterministic").count()
    if count:
        logger.warning("%d concepts nearly determine a label and are not masked: see table near_deterministic", count)
    return count


def _write_shards(
    config: Config, inputs: Inputs, tasks: _Tasks, vocabulary: VocabularyFacts, masks_df: DataFrame
) -> m.Manifest:
    """Write a generation of shards, its manifest last."""
    with new_generation(Layout.of(config).shards, vocabulary.fingerprint[:12]) as folder:
        _write_vocabulary(inputs.vocabulary_df, vocabulary.fields, folder)
        fault_point("align:after-vocabulary")
        write_table(masks_df, folder, m.MASKS, MASKS_SCHEMA, ["task_id", "concept_id"])
        files = write_splits(inputs.vectors_df, tasks.pairs_df, tasks.rows, folder, config.align.shards)
        entries = task_entries(config, tasks.segments, tasks.counts)
        manifest = m.Manifest(
            schema_version=m.SCHEMA_VERSION,
            vocabulary_hash=vocabulary.fingerprint,
            vocabulary_size=vocabulary.size,
            fields=vocabulary.fields,
            tasks=entries,
            splits={
                split: m.SplitEntry(
                    rows=tasks.rows[split], pairs=sum(entry.pairs[split] for entry in entries), files=files[split]
                )
                for split in SPLITS
            },
            checksums={name: m.file_sha256(folder / name) for name in (m.VOCABULARY, m.MASKS)},
        )
        fault_point("align:before-manifest")
        m.write_manifest(folder, manifest)
        fault_point("align:after-manifest")
    logger.info("shards: %s rows in %s", dict(tasks.rows), Layout.of(config).shards)
    return manifest


def _write_vocabulary(vocabulary_df: DataFrame, fields: Sequence[str], folder: Path) -> None:
    field_id = F.array_position(F.array(*(F.lit(name) for name in fields)), F.col("field")).cast("int") - 1
    rows_df = vocabulary_df.withColumn("field_id", field_id)
    write_table(rows_df, folder, m.VOCABULARY, VOCABULARY_SCHEMA, ["concept_id"])


def _count_reasons(masks_df: DataFrame) -> dict[str, Any]:
    """How many concepts are masked for which reason, over all and by segment."""
    kind = F.split("reason", ":")[0]
    rows = masks_df.groupBy("segment", kind.alias("kind")).count().collect()
    reasons = dict.fromkeys(("own", "family", "implies"), 0)
    by_segment: dict[str, dict[str, int]] = {}
    for segment, reason, count in rows:
        reasons[reason] += count
        by_segment.setdefault(segment, {})[reason] = count
    return {"reasons": reasons, "by_segment": by_segment}


def _quarantine(config: Config, inputs: Inputs) -> int:
    """Replace the stage's part of the quarantine; how many rows it holds."""
    quarantine = Quarantine(config, "align")
    count = inputs.bad_df.count() if inputs.bad_df is not None else 0
    if inputs.bad_df is None or not count:
        quarantine.replace([])
        return 0
    logger.warning("%d bad labels are in the quarantine", count)
    quarantine.replace_df(inputs.bad_df)
    return count


def _facts(manifest: m.Manifest, tasks: _Tasks, masked: Mapping[str, Any], idle: Sequence[str]) -> dict[str, Any]:
    files = [file for split in manifest.splits.values() for file in split.files]
    return {
        "rows": {name: split.rows for name, split in manifest.splits.items()},
        "pairs": {name: split.pairs for name, split in manifest.splits.items()},
        "files": len(files),
        "bytes": sum(file.bytes for file in files),
        "vocabulary_size": manifest.vocabulary_size,
        "vocabulary_hash": manifest.vocabulary_hash,
        "segments": {
            task.name: {
                "kind": task.kind,
                "group": task.group,
                "pairs": task.pairs,
                "positives": task.positives,
                "masked": masked["by_segment"].get(task.name, {}),
            }
            for task in manifest.tasks
        },
        "left_out": dict(tasks.left_out),
        "masked": masked["reasons"],
        "idle_globs": list(idle),
    }
