"""Composite segments: labels made of the labels of other segments, under the masks of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.align.spaces import members
from pipeline.config.compositions import levels_of
from pipeline.config.segments import Label, Segment, Space


def inside_spaces(pairs_df: DataFrame, segments: Sequence[Segment]) -> DataFrame:
    """The pairs of entities that are in the segment's own space, where it has one; without the marks of members.

    pairs_df: entity_id, split, pairs, of which those with task ids after the segments' say whose member an entity is.
    """
    spaces = members(segments)
    if not spaces:
        return pairs_df
    outside = F.array_compact(
        F.array(
            *(
                F.when(~F.array_contains("pairs.task", spaces[segment.sample_space]), F.lit(task))
                for task, segment in enumerate(segments)
                if isinstance(segment.sample_space, Space)
            )
        )
    )
    marked_df = pairs_df.withColumn("outside", outside)
    inside = F.filter("pairs", lambda pair: (pair["task"] < len(segments)) & ~F.array_contains("outside", pair["task"]))
    return marked_df.withColumn("pairs", inside)


def with_composites(pairs_df: DataFrame, segments: Sequence[Segment]) -> DataFrame:
    """Adds the pairs of composite segments to `inside_spaces`: of the entities that have a label of every part."""
    by_name = {segment.name: segment for segment in segments}
    numbers = {segment.name: task for task, segment in enumerate(segments)}
    for level in levels_of(by_name):
        labels_df = pairs_df.withColumn("labels", F.map_from_entries("pairs"))
        found = F.array(*(_pair(numbers[name], by_name[name], numbers) for name in level))
        pairs_df = labels_df.withColumn("pairs", F.array_sort(F.concat("pairs", F.array_compact(found)))).drop("labels")
    return pairs_df.select("entity_id", "split", "pairs")


def with_parts_globs(segments: Sequence[Segment], by_name: Mapping[str, Segment]) -> list[Segment]:
    """The segments, of which composite ones mask what their parts mask. by_name: all segments of the configuration."""
    masked = []
    for segment in segments:
        globs = [glob for part in parts_of(segment, by_name) for glob in (*by_name[part].own, *by_name[part].mask)]
        every = list(dict.fromkeys([*segment.mask, *globs]))
        masked.append(segment.model_copy(update={"mask": every}) if globs else segment)
    return masked


def parts_of(segment: Segment, by_name: Mapping[str, Segment]) -> list[str]:
    """All segments that a composite one is made of, parts of parts too; none for others."""
    found: dict[str, None] = {}
    left = list(segment.label.parts)
    while left:
        part = left.pop(0)
        if part not in found:
            found[part] = None
            left += by_name[part].label.parts
    return list(found)


def _pair(task: int, segment: Segment, numbers: Mapping[str, int]) -> Column:
    """struct<task, label>, null where a part has no label."""
    labels = {part: F.col("labels")[numbers[part]] for part in segment.label.parts}
    there = F.lit(True)
    for label in labels.values():
        there = there & label.isNotNull()
    if isinstance(segment.sample_space, Space):
        there = there & ~F.array_contains("outside", task)
    holds = _holds(segment.label, {part: label > 0 for part, label in labels.items()})
    return F.when(there, F.struct(F.lit(task).alias("task"), holds.cast("float").alias("label")))


def _holds(label: Label, parts: Mapping[str, Column]) -> Column:
    """Whether all, any and none of the parts hold, of which each is a condition."""
    holds = F.lit(True)
    for name in label.all:
        holds = holds & parts[name]
    for name in label.none:
        holds = holds & ~parts[name]
    if label.any:
        either = F.lit(False)
        for name in label.any:
            either = either | parts[name]
        holds = holds & either
    return holds
