"""Sample spaces: which entities a task is about."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config.segments import Label, Segment, Space

ALL, LABELLED = "all", "labelled"


def zero_filled(segment: Segment) -> bool:
    """Whether every entity without a row has label 0: everyone is in the space, and no row means no.

    True for binary tasks, sums and counts over all entities or those of a space of its own; other labels do not exist
    without a row, and composite ones not without their parts.
    """
    countable = segment.kind == "binary" or segment.label.aggregate in ("sum", "count")
    everyone = segment.sample_space == ALL or isinstance(segment.sample_space, Space)
    return everyone and countable and not segment.label.parts


def space_key(segment: Segment) -> tuple[str, ...]:
    """Tasks with the same key have the same entities in their space, so carriers are counted once for all of them."""
    if zero_filled(segment):
        return ("space", *_key(segment.sample_space)) if isinstance(segment.sample_space, Space) else (ALL,)
    if segment.label.source is not None and segment.kind == "binary":
        return (segment.label.source, str(segment.sample_space))
    return ("own", segment.name)


def condition_of(segment: Segment) -> str | None:
    """The Spark SQL condition of a sample space; None where it is one of the named ones."""
    space = segment.sample_space
    return None if isinstance(space, Space) or space in (ALL, LABELLED) else space


def members(segments: Sequence[Segment]) -> dict[Space, int]:
    """The spaces of their own, each with the task id under which its members are found: those after all segments'."""
    spaces = dict.fromkeys(one.sample_space for one in segments if isinstance(one.sample_space, Space))
    return {space: len(segments) + place for place, space in enumerate(spaces)}


def as_segment(space: Space) -> Segment:
    """A space as a segment, whose positives are the members."""
    return Segment(name=f"sample_space of {space.source}", label=Label(source=space.source, expression=space.condition))


def _key(space: Space) -> tuple[str, str, str]:
    return space.source, space.condition, space.window
