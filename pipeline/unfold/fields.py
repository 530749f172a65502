"""Fields: rules with a number and a name; keys: concepts as 64-bit hashes, which stand for their names till the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config.names import days_of
from pipeline.config.rules import Rule
from pipeline.config.sources import Source
from pipeline.config.unfolding import Unfold
from pipeline.examples import CUTOFF, before_each_cutoff, cutoff_of

NO_KEY = 0
"""The key of no concept: of a missing or blank value."""
_WORD = 62
"""Fields marked in one long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A rule of a source, in one of its windows if it has any; its concepts are `name=value`."""

    number: int
    source: Source
    rule: Rule
    window: str | None = None

    @property
    def name(self) -> str:
        """`source.rule` or `source.rule.7d`; neither names nor windows have a dot."""
        name = f"{self.source.name}.{self.rule.name}"
        return name if self.window is None else f"{name}.{self.window}"

    @property
    def kind(self) -> str:
        """How the weights of an entity's events become one: count, sum, max or binary."""
        if self.rule.aggregate is None:
            weighs = self.rule.weight or self.rule.kind in ("map", "sparql", "sql") or self.rule.path_weight == "degree"
            return "sum" if weighs else "count"
        # Of `last` and `distinct` one value an entity is left by then (latest.py).
        others = {"decay": "sum", "last": "max", "distinct": "binary"}
        return others.get(self.rule.aggregate, self.rule.aggregate)


def fields_of(sources: list[Source]) -> list[Field]:
    """All fields, numbered in the order of the configuration."""
    fields: list[Field] = []
    for source in sources:
        for rule in source.rules:
            windows: list[str | None] = [*rule.windows] or [None]
            fields += [Field(number=len(fields) + i, source=source, rule=rule, window=w) for i, w in enumerate(windows)]
    return fields


def in_window(rows_df: DataFrame, source: Source, unfold: Unfold) -> DataFrame:
    """The rows features come from: those in [start, cutoff); all rows of a static source. Of several cutoffs those of
    each, as examples (examples.py)."""
    if source.time is not None and unfold.start is not None:
        rows_df = rows_df.where(F.col("_time") >= F.lit(unfold.start).cast("timestamp"))
    if unfold.cutoffs:
        return rows_df if CUTOFF in rows_df.columns else before_each_cutoff(rows_df, source.time is not None, unfold)
    if source.time is None:
        return rows_df
    return rows_df.where(F.col("_time") < F.lit(unfold.cutoff).cast("timestamp"))


def within(field: Field, unfold: Unfold, values: Column) -> Column:
    """The values of a row, null where it is before the field's own window."""
    if field.window is None:
        return values
    begin = cutoff_of(unfold) - F.make_dt_interval(F.lit(days_of(field.window)))
    return F.when(F.col("_time") >= begin, values)


def key_of(field: Column, value: Column, seed: int) -> Column:
    """The key of a concept, an odd number; NO_KEY for null. Two concepts may share one: vocabulary.py sees that, and
    the stage takes another seed."""
    key = F.xxhash64(field.cast("int"), value, F.lit(seed)).bitwiseOR(F.lit(1).cast("long"))
    return F.when(value.isNull(), F.lit(NO_KEY).cast("long")).otherwise(key)


def masks_of(fields: Sequence[Field], mark: dict[int, Column]) -> list[Column]:
    """Which fields a row has, as bits of longs `_fields_0`, `_fields_1`, …; `mark`: condition by field number."""
    words = []
    for word in range(mask_words(fields)):
        bits = F.lit(0).cast("long")
        for number, has in mark.items():
            if number // _WORD == word:
                bits = bits.bitwiseOR(F.when(has, F.lit(1 << number % _WORD).cast("long")).otherwise(0))
        words.append(bits.alias(f"_fields_{word}"))
    return words


def mask_words(fields: Sequence[Field]) -> int:
    return (len(fields) - 1) // _WORD + 1


def has_field(number: int) -> Column:
    """Whether the masks of a row mark a field."""
    return F.col(f"_fields_{number // _WORD}").bitwiseAND(F.lit(1 << number % _WORD).cast("long")) != 0
