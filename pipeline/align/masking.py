"""A run's masks: globs, what implies a label, and what nearly determines one; the tables that say so."""

from __future__ import annotations

import logging
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.align.compositions import parts_of
from pipeline.align.implication import implying, near_deterministic
from pipeline.align.inputs import Inputs
from pipeline.align.masks import masks_table
from pipeline.align.tasks import LearnableTasks
from pipeline.config import Config
from pipeline.session import get_session
from pipeline.tables import Tables
from pipeline.vocabulary import VocabularyFacts

logger = logging.getLogger(__name__)


def all_masks(
    config: Config,
    inputs: Inputs,
    tasks: LearnableTasks,
    vocabulary: VocabularyFacts,
    globs_df: DataFrame,
    carriers_df: DataFrame,
) -> DataFrame:
    """The table `masks` (see masks.py). globs_df: masks.glob_concepts; carriers_df: implication.carriers_by_label."""
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


def replace_near(
    config: Config,
    inputs: Inputs,
    tasks: LearnableTasks,
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


def count_reasons(masks_df: DataFrame) -> dict[str, Any]:
    """How many concepts are masked for which reason, over all and by segment."""
    kind = F.split("reason", ":")[0]
    rows = masks_df.groupBy("segment", kind.alias("kind")).count().collect()
    reasons = dict.fromkeys(("own", "family", "implies"), 0)
    by_segment: dict[str, dict[str, int]] = {}
    for segment, reason, count in rows:
        reasons[reason] += count
        by_segment.setdefault(segment, {})[reason] = count
    return {"reasons": reasons, "by_segment": by_segment}
