"""Bags of solutions as DataFrames, and their joins.

A solution is a row: a column a variable, null where it is unbound, and `n`, how many times the bag holds it. No two
frames of a plan have a column in common, so that joins rename nothing: every DataFrame less is analysed once less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.errors import UserError
from pipeline.sparql.algebra import Variable

Columns = Mapping[Variable, Column]


@dataclass(frozen=True, slots=True)
class Frame:
    """names: variable -> column of `solutions_df`, which may have others; certain: variables that every solution binds;
    fan: at most so many rows have one value of a (certain) variable, 0 for not known to be few; n: of `solutions_df`'s
    columns."""

    solutions_df: DataFrame
    names: Mapping[Variable, str]
    certain: frozenset[Variable]
    fan: Mapping[Variable, float]
    n: Column

    @property
    def columns(self) -> Columns:
        return {variable: F.col(name) for variable, name in self.names.items()}


def one() -> Column:
    return F.lit(1).cast("long")


class Joins:
    """Joins that refuse products, and values at which more than `limit` rows would meet (None: any number may)."""

    def __init__(self, limit: int | None, where: str, new_name: Callable[[], str]) -> None:
        """new_name: of a column that no other frame has."""
        self._limit = limit
        self._where = where
        self._new_name = new_name

    def inner(self, left: Frame, right: Frame) -> Frame:
        return self._join(left, right, None, outer=False)

    def left(self, left: Frame, right: Frame, condition: Callable[[Columns], Column] | None) -> Frame:
        """Every solution of `left`, with those of `right` that fit it and the condition, or alone."""
        return self._join(left, right, condition, outer=True)

    def _join(self, left: Frame, right: Frame, condition: Callable[[Columns], Column] | None, outer: bool) -> Frame:
        shared = [variable for variable in left.names if variable in right.names]
        keys = [variable for variable in shared if variable in left.certain and variable in right.certain]
        if not keys and left.names and right.names:
            raise UserError(f"{self._where}: {self._why(left, right, shared)}")
        self._check_hub(left, right, keys)
        ours, theirs = left.columns, right.columns
        merged = {**theirs, **ours}
        fits = [ours[variable] == theirs[variable] for variable in keys]
        unsure = [variable for variable in shared if variable not in keys]
        for variable in unsure:
            fits.append((ours[variable] == theirs[variable]) | ours[variable].isNull() | theirs[variable].isNull())
            merged[variable] = F.coalesce(ours[variable], theirs[variable])
        if condition is not None:
            fits.append(condition(merged))
        on = reduce(lambda both, fit: both & fit, fits) if fits else F.lit(True)
        joined_df = left.solutions_df.join(right.solutions_df, on, "left" if outer else "inner")
        names = {**right.names, **left.names}
        if unsure:
            fresh = {variable: self._new_name() for variable in unsure}
            joined_df = joined_df.withColumns({name: merged[variable] for variable, name in fresh.items()})
            names |= fresh
        n = left.n * (F.coalesce(right.n, one()) if outer else right.n)
        certain = left.certain if outer else left.certain | right.certain
        return Frame(joined_df, names, certain, _fans(left, right, keys, outer), n)

    def _why(self, left: Frame, right: Frame, shared: list[Variable]) -> str:
        ours, theirs = (", ".join(sorted(str(variable) for variable in frame.names)) for frame in (left, right))
        if not shared:
            return f"the patterns over {ours} and over {theirs} share no variable, so every two would be combined"
        maybe = ", ".join(sorted(str(variable) for variable in shared))
        return (
            f"the patterns over {ours} and over {theirs} share only {maybe}, which OPTIONAL or UNION may leave unbound"
        )

    def _check_hub(self, left: Frame, right: Frame, keys: list[Variable]) -> None:
        """Rows are counted, by one Spark job, only where the degrees leave it open how many there are."""
        if self._limit is None or not keys or min(left.fan[key] * right.fan[key] for key in keys) <= self._limit:
            return
        counted = [
            frame.solutions_df.groupBy(*(F.col(frame.names[key]).alias(f"k{i}") for i, key in enumerate(keys))).agg(
                F.count("*").cast("double").alias(name)
            )
            for frame, name in ((left, "left"), (right, "right"))
        ]
        both_df = counted[0].join(counted[1], [f"k{i}" for i in range(len(keys))]).where("left > 1 or right > 1")
        met_df = both_df.withColumn("rows", F.col("left") * F.col("right"))
        row = met_df.orderBy(F.desc("rows"), "k0").first()
        if row is not None and row["rows"] > self._limit:
            values = ", ".join(f"{key} = {row[f'k{i}']!r}" for i, key in enumerate(keys))
            raise UserError(
                f"{self._where}: {row['rows']:,.0f} solutions would meet at {values}, more than unfold.max_fanout = "
                f"{self._limit:,}; leave this hub out by a FILTER, or raise the limit"
            )


def _fans(left: Frame, right: Frame, keys: list[Variable], outer: bool) -> dict[Variable, float]:
    def least(frame: Frame) -> float:
        return min((frame.fan[key] for key in keys), default=1.0)

    fans = {variable: fan * max(1.0, least(left)) for variable, fan in right.fan.items()} if not outer else {}
    return fans | {variable: fan * max(1.0, least(right)) for variable, fan in left.fan.items()}
