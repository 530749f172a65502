"""What every kind of label becomes: per entity an array of hits, and bad values with their reason.

    entity_id   hits array<struct<task int, label double>>   bad array<struct<task int, reason string>>
    u17         [{3, 1.0}, {9, 0.0}]                          []

A hit is a label that a row speaks for. Tasks whose space is everyone and whose label is 0 without a row
(`spaces.zero_filled`) have hits only where the label is not 0; `tasks.with_pairs` fills the zeros in.
"""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from pipeline.align.spaces import zero_filled
from pipeline.config.segments import Segment
from pipeline.sources.columns import as_text

Numbered = tuple[int, Segment]
"""A segment with its task id."""


def hit(task: Column, segment: Segment, label: Column, member: Column) -> Column:
    """struct<task, label>, or null where the entity is not in the space, has no label, or zero-filling gives it."""
    there = member & label.isNotNull()
    if zero_filled(segment):
        there = there & (label != 0.0)
    return F.when(there, F.struct(task.alias("task"), label.cast("double").alias("label")))


def bad_value(task: int, reason: Column) -> Column:
    """struct<task, reason>, or null where the reason is null."""
    return F.when(reason.isNotNull(), F.struct(F.lit(task).alias("task"), reason.alias("reason")))


def array_of(structs: Iterable[Column]) -> Column:
    """The structs that are not null."""
    return F.filter(F.array(*structs), lambda one: one.isNotNull())


def class_index(value: Column, kind: DataType, classes: list[str]) -> Column:
    """int: place of a value (of type `kind`) among the classes, -1 where it is none of them, null for null."""
    return F.array_position(F.array(*(F.lit(name) for name in classes)), as_text(value, kind)).cast("int") - 1


def not_finite(number: Column) -> Column:
    """Whether a double is NaN or infinite; null is not."""
    return F.coalesce(F.isnan(number) | F.abs(number).isin(float("inf")), F.lit(False))
