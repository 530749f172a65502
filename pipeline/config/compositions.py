"""Checks of segments that are made of others, and of those that are made of a list of positives."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from pipeline.config.segments import LabelTable, Segment, Space


def check_compositions(segments: Sequence[Segment]) -> None:
    """Raises ValueError for a part that is no binary segment, and for segments that are made of themselves."""
    by_name = {segment.name: segment for segment in segments}
    for segment in segments:
        for part in segment.label.parts:
            if part not in by_name:
                near = difflib.get_close_matches(part, by_name, n=1, cutoff=0)[0]
                raise ValueError(f"segment {segment.name}: {part!r} is no segment; did you mean {near!r}?")
            if by_name[part].kind != "binary":
                raise ValueError(
                    f"segment {segment.name}: {part} is {by_name[part].kind}; a composite label is of binary segments"
                )
    levels_of(by_name)


def levels_of(by_name: Mapping[str, Segment]) -> list[list[str]]:
    """The composite segments in levels: those of a level are made of other labels and of levels before.

    Raises ValueError naming the segments of a cycle.
    """
    left = {name: segment.label.parts for name, segment in by_name.items() if segment.label.parts}
    levels = []
    while left:
        level = [name for name, parts in left.items() if not any(part in left for part in parts)]
        if not level:
            raise ValueError(f"segments are made of themselves: {' -> '.join(_cycle(left))}; take one part out")
        levels.append(level)
        left = {name: parts for name, parts in left.items() if name not in level}
    return levels


def check_seeds(segments: Sequence[Segment], tables: Sequence[LabelTable]) -> None:
    """Raises ValueError for a segment whose only labels would be the positives of a list."""
    seeds = {table.name for table in tables if table.label is None}
    for segment in segments:
        if segment.label.table not in seeds:
            continue
        what = f"segment {segment.name}: label table {segment.label.table} lists positives only"
        if segment.kind != "binary":
            raise ValueError(f"{what}, which make no {segment.kind} label")
        if segment.sample_space != "all" and not isinstance(segment.sample_space, Space):
            raise ValueError(
                f"{what}, so sample_space {segment.sample_space!r} has no negatives; leave it out, or write "
                "{source: …, condition: …}"
            )


def _cycle(parts: Mapping[str, Sequence[str]]) -> list[str]:
    """A cycle among segments each of which has a part among them."""
    path = [next(iter(parts))]
    while path[-1] not in path[:-1]:
        path.append(next(part for part in parts[path[-1]] if part in parts))
    return path[path.index(path[-1]) :]
