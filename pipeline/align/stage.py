"""The align stage from start to end."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame

from pipeline import summary
from pipeline.align.compositions import with_parts_globs
from pipeline.align.generation import write_generation
from pipeline.align.implication import carriers_by_label
from pipeline.align.inputs import Inputs, check_windows, read_inputs
from pipeline.align.masking import all_masks, count_reasons, replace_near
from pipeline.align.masks import glob_concepts, warn_of_idle_globs
from pipeline.align.tasks import LearnableTasks, count_pairs, count_rows, keep_learnable, renumber, with_pairs
from pipeline.config import Config
from pipeline.faults import fault_point
from pipeline.layout import Layout
from pipeline.quarantine import Quarantine
from pipeline.session import get_session
from pipeline.shards import manifest as m
from pipeline.tables import Tables
from pipeline.vocabulary import vocabulary_facts

logger = logging.getLogger(__name__)


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
        globs_df = glob_concepts(inputs.concepts_df, masked_segments).persist(StorageLevel.DISK_ONLY)
        cached_dfs.append(globs_df)
        idle = warn_of_idle_globs(globs_df, masked_segments)
        vocabulary = vocabulary_facts(inputs.vocabulary_df)
        carriers_df = carriers_by_label(inputs.vectors_df, tasks.pairs_df, tasks.segments, tasks.counts)
        carriers_df = carriers_df.persist(StorageLevel.DISK_ONLY)
        cached_dfs.append(carriers_df)
        masks_df = all_masks(config, inputs, tasks, vocabulary, globs_df, carriers_df).persist(StorageLevel.DISK_ONLY)
        cached_dfs.append(masks_df)
        masked = count_reasons(masks_df)
        logger.info("masks: %s", masked["reasons"])
        fault_point("align:after-masks")
        manifest = write_generation(config, inputs, tasks, vocabulary, masks_df)
        fault_point("align:after-shards")
        Tables(config, get_session(config)).replace("masks", masks_df)
        near = replace_near(config, inputs, tasks, vocabulary, masks_df, carriers_df)
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


def _learnable(config: Config, inputs: Inputs, pairs_df: DataFrame) -> LearnableTasks:
    segments = config.segments
    counts, rows = count_pairs(pairs_df, len(segments))
    check_windows(config, inputs, counts)
    kept, left_out = keep_learnable(segments, counts, config.align.on_degenerate)
    logger.info("%d tasks of %d segments", len(kept), len(segments))
    pairs_df = renumber(pairs_df, kept, len(segments))
    if left_out:
        rows = count_rows(pairs_df)
    return LearnableTasks(
        segments=[segments[place] for place in kept],
        counts=[counts[place] for place in kept],
        pairs_df=pairs_df,
        rows=rows,
        left_out=left_out,
    )


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


def _facts(
    manifest: m.Manifest, tasks: LearnableTasks, masked: Mapping[str, Any], idle: Sequence[str]
) -> dict[str, Any]:
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
