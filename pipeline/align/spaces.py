"""Sample spaces: which entities a task is about."""

from __future__ import annotations

from pipeline.config.data import Segment

ALL, LABELLED = "all", "labelled"


def zero_filled(segment: Segment) -> bool:
    """Whether every entity without a row has label 0: everyone is in the space, and no row means no.

    True for binary tasks, sums and counts over all entities; other labels do not exist without a row.
    """
    countable = segment.kind == "binary" or segment.label.aggregate in ("sum", "count")
    return segment.sample_space == ALL and countable


def space_key(segment: Segment) -> tuple[str, ...]:
    """Tasks with the same key have the same entities in their space, so carriers are counted once for all of them."""
    if zero_filled(segment):
        return (ALL,)
    if segment.label.source is not None and segment.kind == "binary":
        return (segment.label.source, segment.sample_space)
    return ("own", segment.name)


def condition_of(segment: Segment) -> str | None:
    """The Spark SQL condition of a sample space; None where it is one of the named ones."""
    return None if segment.sample_space in (ALL, LABELLED) else segment.sample_space
