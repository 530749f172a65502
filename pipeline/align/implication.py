"""Which concepts imply a label: found by a test over all of them, in one distributed pass.

Of a concept's n carriers in a task's support, all have label 1 or all have label 0. With base rate p that happens
by chance with probability p^n or (1 - p)^n; the concept counts as implying when that is below alpha / V, V being
the number of concepts tested (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.align.spaces import space_key
from pipeline.align.tasks import Counts
from pipeline.config.aligning import Masks
from pipeline.config.segments import Segment
from pipeline.splits import SUPPORT

COLUMNS = "task_id int, concept_id int, carriers long, purity double, p_value double"


@dataclass(frozen=True, slots=True)
class _Tested:
    task: int
    space: int
    log_positive: float
    log_negative: float


def carriers_by_label(
    vectors_df: DataFrame, pairs_df: DataFrame, segments: Sequence[Segment], counts: Sequence[Mapping[str, Counts]]
) -> DataFrame:
    """concept_id, positives map<task, count>, members map<space key, count>: a concept's carriers in the support.

    vectors_df: entity_id, concept_ids. pairs_df: entity_id, split, pairs (ids as in `segments`).
    """
    tested, members = _plan(segments, counts)
    if not tested:
        empty = "concept_id int, positives map<int,bigint>, members map<int,bigint>"
        return vectors_df.sparkSession.createDataFrame([], empty)
    keyed_df = _keys(pairs_df, [one.task for one in tested], members)
    # Positives of task k count under the key k, members of sample space s under the key -1 - s.
    counted_df = (
        vectors_df.select("entity_id", "concept_ids")
        .join(keyed_df, "entity_id")
        .select(F.explode("keys").alias("key"), "concept_ids")
        .select("key", F.explode("concept_ids").alias("concept_id"))
        .groupBy("concept_id", "key")
        .count()
    )
    return counted_df.groupBy("concept_id").agg(
        F.map_from_entries(_entries("key >= 0")).alias("positives"),
        F.map_from_entries(_entries("key < 0")).alias("members"),
    )


def implying(
    by_concept_df: DataFrame,
    segments: Sequence[Segment],
    counts: Sequence[Mapping[str, Counts]],
    alpha: float,
    vocabulary_size: int,
) -> DataFrame:
    """task_id, concept_id, carriers, purity (1.0), p_value of the concepts that imply a binary task's label.

    by_concept_df: see `carriers_by_label`.
    """
    session = by_concept_df.sparkSession
    tested, _ = _plan(segments, counts)
    if not tested:
        return session.createDataFrame([], COLUMNS)
    tested_df = F.broadcast(
        session.createDataFrame(
            [(one.task, -1 - one.space, one.log_positive, one.log_negative) for one in tested],
            "task_id int, space_key int, log_positive double, log_negative double",
        )
    )
    threshold = math.log(alpha / vocabulary_size)
    carriers = F.col("members")[F.col("space_key")]
    all_positive_df = (
        by_concept_df.select("concept_id", "members", F.explode("positives").alias("task_id", "found"))
        .join(tested_df, "task_id")
        .select("task_id", "concept_id", "found", carriers.alias("carriers"), "log_positive")
        .where(F.col("found") == F.col("carriers"))
        .select("task_id", "concept_id", "carriers", (F.col("carriers") * F.col("log_positive")).alias("log_chance"))
    )
    all_negative_df = (
        by_concept_df.crossJoin(tested_df)
        .select("task_id", "concept_id", "positives", carriers.alias("carriers"), "log_negative")
        .withColumn("log_chance", F.col("carriers") * F.col("log_negative"))
        .where((F.col("log_chance") < threshold) & F.col("positives")[F.col("task_id")].isNull())
        .select("task_id", "concept_id", "carriers", "log_chance")
    )
    implying_df = all_positive_df.unionByName(all_negative_df).where(F.col("log_chance") < threshold)
    return implying_df.select(
        "task_id", "concept_id", "carriers", F.lit(1.0).alias("purity"), F.exp("log_chance").alias("p_value")
    )


def near_deterministic(
    by_concept_df: DataFrame,
    segments: Sequence[Segment],
    counts: Sequence[Mapping[str, Counts]],
    settings: Masks,
    vocabulary_size: int,
) -> DataFrame:
    """task_id, concept_id, carriers, purity, lift (purity by base rate) of the concepts of whose carriers nearly all
    are positive.

    k of n carriers are positive with probability below exp(-n KL(k/n | p)) if the concept tells nothing (Chernoff);
    that bound is below alpha / V, as for implications.
    """
    tested, _ = _plan(segments, counts)
    known = [(one.task, -1 - one.space, math.exp(one.log_positive)) for one in tested]
    tested_df = by_concept_df.sparkSession.createDataFrame(known, "task_id int, space_key int, rate double")
    positives_df = by_concept_df.select("concept_id", "members", F.explode("positives").alias("task_id", "positives"))
    found_df = positives_df.join(F.broadcast(tested_df), "task_id").select(
        "task_id",
        "concept_id",
        F.col("members")[F.col("space_key")].alias("carriers"),
        (F.col("positives") / F.col("members")[F.col("space_key")]).alias("purity"),
        "rate",
    )
    purity, rate = F.col("purity"), F.col("rate")
    rest = F.when(purity < 1, (1 - purity) * F.log((1 - purity) / (1 - rate))).otherwise(0.0)
    surprise = F.col("carriers") * (purity * F.log(purity / rate) + rest)
    near_df = found_df.where(
        (F.col("carriers") >= settings.near_carriers)
        & (purity >= settings.near_purity)
        & (purity > rate)
        & (surprise > math.log(vocabulary_size / settings.alpha))
    )
    return near_df.select("task_id", "concept_id", "carriers", "purity", (purity / rate).alias("lift"))


def _entries(which: str) -> Column:
    """The (key, count) structs of a group whose key is of one sort; collect_list leaves nulls out."""
    return F.collect_list(F.when(F.expr(which), F.struct("key", "count")))


def _plan(segments: Sequence[Segment], counts: Sequence[Mapping[str, Counts]]) -> tuple[list[_Tested], dict[int, int]]:
    """The binary tasks with their base rate, and for each sample space a task that stands for it."""
    spaces: dict[tuple[str, ...], int] = {}
    members: dict[int, int] = {}
    tested = []
    for task, segment in enumerate(segments):
        if segment.kind != "binary":
            continue
        support = counts[task][SUPPORT]
        rate = support.positives / support.pairs
        space = spaces.setdefault(space_key(segment), len(spaces))
        members.setdefault(space, task)
        tested.append(_Tested(task, space, math.log(rate), math.log1p(-rate)))
    return tested, members


def _keys(pairs_df: DataFrame, tasks: Sequence[int], members: dict[int, int]) -> DataFrame:
    """entity_id, keys array<int>: the support entities, the tasks they are positive for and the spaces they are in."""
    tested = F.array(*(F.lit(task) for task in tasks))
    positive = F.filter("pairs", lambda pair: (pair["label"] > 0) & F.array_contains(tested, pair["task"]))["task"]
    inside = [F.when(F.array_contains("pairs.task", task), F.lit(-1 - space)) for space, task in members.items()]
    spaces = F.filter(F.array(*inside), lambda key: key.isNotNull())
    support_df = pairs_df.where(F.col("split") == SUPPORT)
    return support_df.select("entity_id", F.concat(positive, spaces).alias("keys"))
