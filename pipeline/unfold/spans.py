"""The days of the feature window, as numbers: what events, entities and concepts are counted by."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.config.unfolding import Unfold

_MOST_SPANS = 62
"""A set of spans is the bits of one long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """`count` spans of `step` days (1 where they are no more than 62), from `first` on; numbered from 0."""

    first: date
    step: int
    count: int

    @property
    def labels(self) -> list[str]:
        """The first day of each span."""
        return [(self.first + timedelta(days=number * self.step)).isoformat() for number in range(self.count)]

    def number(self, day: Column) -> Column:
        """int: which span a date is in; null for one in none, and for null."""
        number = F.floor(F.datediff(day, F.lit(self.first.isoformat()).cast("date")) / self.step).cast("int")
        return F.when(number.between(0, self.count - 1), number)

    def bit(self, day: Column) -> Column:
        """long: the span as a set, for `F.bit_or`."""
        return F.call_function("shiftleft", F.lit(1).cast("long"), self.number(day))

    def periods(self, most: int) -> list[range]:
        """The spans cut into so many runs at most, as even as they can be."""
        periods = min(most, self.count)
        edges = [number * self.count // periods for number in range(periods + 1)] if periods else []
        return [range(begin, end) for begin, end in itertools.pairwise(edges)]


def feature_spans(unfold: Unfold, rows_by_day: Iterable[Mapping[str, Any]]) -> Spans:
    """From the first day of the feature window that has events to the last. rows_by_day: of each source, by day."""
    cutoff = max([*unfold.cutoffs, unfold.cutoff or ""]) if unfold.cutoffs else unfold.cutoff
    last = (datetime.fromisoformat(cutoff) - timedelta(microseconds=1)).date() if cutoff else date.max
    first = datetime.fromisoformat(unfold.start).date() if unfold.start else date.min
    days = [
        day for of_source in rows_by_day for text in of_source if first <= (day := date.fromisoformat(text)) <= last
    ]
    if not days:
        return Spans(first=date.min, step=1, count=0)
    length = (max(days) - min(days)).days + 1
    step = -(-length // _MOST_SPANS)
    return Spans(first=min(days), step=step, count=-(-length // step))


def spans_in(bits: Column) -> Column:
    """array<int>: the spans of a set."""
    numbers = F.sequence(F.lit(0), F.lit(_MOST_SPANS - 1))
    return F.filter(numbers, lambda number: F.call_function("getbit", bits, number) == 1)


def first_in(bits: Column) -> Column:
    """int: the first span of a set that has any; null for null."""
    lowest = bits.bitwiseAND(-bits)
    return F.log2(lowest.cast("double")).cast("int")  # of powers of two, which are exact
