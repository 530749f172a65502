"""From hits to task pairs: zeros filled in, counted, degenerate tasks found, tasks numbered for the shards."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.align.compositions import inside_spaces, with_composites
from pipeline.align.spaces import zero_filled
from pipeline.config import Config
from pipeline.config.segments import Segment
from pipeline.errors import UserError
from pipeline.shards.manifest import TaskEntry
from pipeline.splits import QUERY, SUPPORT, VALIDATION

logger = logging.getLogger(__name__)
SPLITS = (SUPPORT, VALIDATION, QUERY)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one task in one split; least and most are its smallest and largest label."""

    pairs: int = 0
    positives: int = 0
    least: float = 0.0
    most: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnableTasks:
    """The segments that can be learnt, in the order of their task ids; pairs_df: entity_id, split, pairs; rows: the
    entities with a pair in each split."""

    segments: Sequence[Segment]
    counts: Sequence[Mapping[str, Counts]]
    pairs_df: DataFrame
    rows: Mapping[str, int]
    left_out: Mapping[str, str]


def with_pairs(entities_df: DataFrame, hits_dfs: Sequence[DataFrame], segments: Sequence[Segment]) -> DataFrame:
    """entity_id, split, pairs array<struct<task int, label float>> (ascending) of the entities that have any.

    entities_df: entity_id, split. hits_dfs: entity_id, hits (see hits.py); hits of other entities are dropped.
    Composite segments are made of the others' pairs.
    """
    all_hits_df = reduce(DataFrame.unionByName, (hits_df.select("entity_id", "hits") for hits_df in hits_dfs))
    per_entity_df = all_hits_df.groupBy("entity_id").agg(F.flatten(F.collect_list("hits")).alias("hits"))
    filled = F.array(*(F.lit(task) for task, segment in enumerate(segments) if zero_filled(segment))).cast("array<int>")
    hits = F.coalesce(F.col("hits"), F.array().cast("array<struct<task int, label double>>"))
    zeros = F.transform(
        F.array_except(filled, hits["task"]), lambda task: F.struct(task.alias("task"), F.lit(0.0).alias("label"))
    )
    pairs = F.array_sort(F.concat(hits, zeros)).cast("array<struct<task: int, label: float>>")
    joined_df = entities_df.join(per_entity_df, "entity_id", "left")
    pairs_df = joined_df.select("entity_id", "split", pairs.alias("pairs"))
    return with_composites(inside_spaces(pairs_df, segments), segments).where(F.size("pairs") > 0)


def count_pairs(pairs_df: DataFrame, tasks: int) -> tuple[list[dict[str, Counts]], dict[str, int]]:
    """For each task its counts in each split; and the entities of each split. One pass."""
    # An entity counts as a pair of the task -1.
    marked = F.array_append("pairs", F.struct(F.lit(-1).alias("task"), F.lit(0.0).cast("float").alias("label")))
    pair_df = pairs_df.select("split", F.explode(marked).alias("pair")).select("split", "pair.task", "pair.label")
    counted = pair_df.groupBy("split", "task").agg(
        F.count("*").alias("pairs"),
        F.count_if(F.col("label") > 0).alias("positives"),
        F.min("label").alias("least"),
        F.max("label").alias("most"),
    )
    counts: list[dict[str, Counts]] = [{split: Counts() for split in SPLITS} for _ in range(tasks)]
    rows = dict.fromkeys(SPLITS, 0)
    for row in counted.collect():
        if row["task"] < 0:
            rows[row["split"]] = row["pairs"]
        else:
            counts[row["task"]][row["split"]] = Counts(row["pairs"], row["positives"], row["least"], row["most"])
    return counts, rows


def count_rows(pairs_df: DataFrame) -> dict[str, int]:
    """The entities of each split."""
    return dict.fromkeys(SPLITS, 0) | {
        row["split"]: row["count"] for row in pairs_df.groupBy("split").count().collect()
    }


def degenerate(segment: Segment, support: Counts) -> str | None:
    """Why a task cannot be learnt from its support; None where it can."""
    if support.pairs == 0:
        return "no entity of its sample space has a label"
    if support.least != support.most:
        return None
    if segment.kind == "binary":
        return "no positives" if support.most == 0 else "only positives"
    return f"only one label value ({support.most:g})"


def keep_learnable(
    segments: Sequence[Segment], counts: Sequence[Mapping[str, Counts]], how: str
) -> tuple[list[int], dict[str, str]]:
    """The places of the segments that can be learnt, and why the others cannot, by name.

    Raises UserError naming the others where `how` is fail, or where none is left.
    """
    reasons = {
        place: reason
        for place, segment in enumerate(segments)
        if (reason := degenerate(segment, counts[place][SUPPORT])) is not None
    }
    kept = [place for place in range(len(segments)) if place not in reasons]
    named = "; ".join(f"{segments[place].name}: {reason}" for place, reason in reasons.items())
    if reasons and (how == "fail" or not kept):
        remedy = "" if not kept else ", or leave them out with align.on_degenerate: skip"
        raise UserError(
            f"{len(reasons)} of {len(segments)} segments cannot be learnt from the support: {named}; mend their "
            f"labels, the cutoff or the split{remedy}"
        )
    if reasons:
        logger.warning("segments left out: %s", named)
    return kept, {segments[place].name: reason for place, reason in reasons.items()}


def renumber(pairs_df: DataFrame, kept: Sequence[int], tasks: int) -> DataFrame:
    """Pairs of the kept tasks only, numbered 0, 1, … in the order of `kept`."""
    if len(kept) == tasks:
        return pairs_df
    places = F.array(*(F.lit(place) for place in kept))
    mine = F.filter("pairs", lambda pair: F.array_contains(places, pair["task"]))
    renumbered = F.transform(
        mine,
        lambda pair: F.struct(
            (F.array_position(places, pair["task"]).cast("int") - 1).alias("task"), pair["label"].alias("label")
        ),
    )
    return pairs_df.withColumn("pairs", renumbered).where(F.size("pairs") > 0)


def task_entries(
    config: Config, segments: Sequence[Segment], counts: Sequence[Mapping[str, Counts]]
) -> list[TaskEntry]:
    """The tasks as the manifest holds them."""
    entries = []
    for segment, of_splits in zip(segments, counts, strict=True):
        pairs = {split: of_splits[split].pairs for split in SPLITS}
        positives = {split: of_splits[split].positives for split in SPLITS} if segment.kind == "binary" else pairs
        group = segment.group or size_group(positives[SUPPORT], config.evaluate.niche_positives)
        entries.append(
            TaskEntry(
                name=segment.name,
                kind=segment.kind,
                classes=segment.classes,
                pairs=pairs,
                positives=positives,
                group=group,
            )
        )
    return entries


def size_group(positives: int, niche: int) -> str:
    """niche, mid (up to ten times as many positives) or large."""
    if positives <= niche:
        return "niche"
    return "mid" if positives <= 10 * niche else "large"
