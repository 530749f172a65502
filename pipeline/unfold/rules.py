"""Rules as Spark SQL: the values that each finds in a row, and what each of them weighs."""

from __future__ import annotations

import math

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.config.rules import Rule
from pipeline.config.sources import Source
from pipeline.config.unfolding import Unfold
from pipeline.errors import UserError
from pipeline.examples import cutoff_of
from pipeline.sources import quoted
from pipeline.sources.columns import as_text, is_simple, type_of

ENTRY = "array<struct<value:string,weight:double>>"
_SECONDS_A_DAY = 86_400.0
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def has_entries(rule: Rule) -> bool:
    """Whether the values of a row differ in weight: those of maps and paths."""
    return rule.kind in ("map", "path", "sparql")


def has_values(rule: Rule) -> bool:
    """Whether a row has any number of values, all of the same weight."""
    return rule.kind in ("multi", "pairs")


def value_of(rows_df: DataFrame, source: Source, rule: Rule, unfold: Unfold) -> Column:
    """The one value of a row as string, without blanks at its ends; null where there is none.
    Not for kinds multi and pairs.

    Raises UserError where the column is not of a type that the rule can read.
    """
    if rule.kind == "time":
        return _time_part(rule)
    if rule.kind == "recency":
        return F.floor(F.log2(F.greatest(_days_to_cutoff(unfold), F.lit(0.0)) + 1)).cast("string")
    assert rule.column is not None
    column, kind = F.col(quoted(rule.column)), type_of(rows_df, rule.column)
    if not is_simple(kind):
        raise UserError(
            f"source {source.name}, rule {rule.name}: column {rule.column} is {kind.simpleString()}; "
            f"kind {rule.kind} reads single values: use multi or map, or name a field of it"
        )
    if rule.kind == "number":
        return log_rounded(column.cast("double"), rule.base)
    return as_text(column, kind)


def values_of(rows_df: DataFrame, source: Source, rule: Rule) -> Column:
    """The values of a row for kinds multi and pairs, as array<string>; nulls and blanks among them are to be dropped.

    Raises UserError where the column is not of a type that the rule can read.
    """
    column, kind = F.col(quoted(rule.column or "")), type_of(rows_df, rule.column or "")
    if isinstance(kind, T.ArrayType) and is_simple(kind.elementType):
        values = column.cast("array<string>")
    elif isinstance(kind, T.StringType) and rule.separator:
        values = split_text(column, rule.separator)
    else:
        raise UserError(
            f"source {source.name}, rule {rule.name}: column {rule.column} is {kind.simpleString()}, not an array of "
            "single values; text needs a separator to split it by"
        )
    return _pairs(values) if rule.kind == "pairs" else values


def entries_of(rows_df: DataFrame, source: Source, rule: Rule) -> Column:
    """The values of a row with weights of their own, as `ENTRY`: a map's, or those that a path reaches.

    A path rule expects the column `path_column(rule)`, joined by knowledge.py. Raises UserError for no map.
    """
    if rule.kind in ("path", "sparql"):
        return F.col(path_column(rule)).cast(ENTRY)
    assert rule.column is not None
    column, kind = F.col(quoted(rule.column)), type_of(rows_df, rule.column)
    if not isinstance(kind, T.MapType):
        raise UserError(
            f"source {source.name}, rule {rule.name}: column {rule.column} is {kind.simpleString()}, not a map; "
            "declare it under types, as in map<string,double>"
        )
    numeric = isinstance(kind.valueType, T.NumericType)

    def entry(pair: Column) -> Column:
        """Numeric values weigh their key; other values become `key:value`."""
        key = F.trim(pair["key"].cast("string"))
        if not numeric:
            return F.struct(F.concat(key, F.lit(":"), pair["value"].cast("string")), F.lit(1.0))
        return F.struct(key, F.lit(1.0) if rule.aggregate == "count" else pair["value"].cast("double"))

    pairs = F.filter(F.map_entries(column), lambda pair: pair["value"].isNotNull())
    return F.transform(pairs, entry).cast(ENTRY)


def weight_of(rule: Rule, unfold: Unfold) -> Column:
    """What an event weighs: 1, or a column; less with age where it decays. Null where the column is."""
    weight = F.col(quoted(rule.weight)).cast("double") if rule.weight else F.lit(1.0)
    if rule.aggregate != "decay":
        return weight
    assert rule.half_life is not None
    return weight * F.pow(F.lit(0.5), _days_to_cutoff(unfold) / rule.half_life)


def path_column(rule: Rule) -> str:
    """Where the values that a path rule reaches from a row are."""
    return f"_path_{rule.name}"


def log_rounded(number: Column, base: float) -> Column:
    """A number rounded to the nearest whole power of a base: its sign and the exponent, `0` for zero.

    Null, NaN and infinity make null.
    """
    exponent = F.rint(F.log(F.abs(number)) / math.log(base)).cast("int")
    sign = F.when(number < 0, "-").otherwise("")
    rounded = F.concat(sign, F.lit(f"{base:g}^"), exponent.cast("string"))
    return F.when(number == 0, "0").when(~F.isnan(number) & (F.abs(number) != math.inf), rounded)


def split_text(column: Column, separator: str) -> Column:
    """Text split by a separator, which is text too, not a pattern: Q..E quotes it for Java."""
    return F.split(column.cast("string"), "\\Q" + separator.replace("\\E", "\\E\\\\E\\Q") + "\\E")


def _pairs(values: Column) -> Column:
    """Every two different values of an array as `a&b`, each pair once."""
    trimmed = F.transform(values, lambda value: F.trim(value))
    each = F.array_sort(F.array_distinct(F.filter(trimmed, lambda value: value != "")))
    after = F.transform(
        each,
        lambda first, place: F.transform(
            F.slice(each, place + 2, F.size(each)), lambda second: F.concat(first, F.lit("&"), second)
        ),
    )
    return F.flatten(after)


def _time_part(rule: Rule) -> Column:
    time = F.col("_time")
    if rule.part == "hour":
        # F.hour makes a date and time of an instant, which takes several times as long.
        return F.expr("pmod(unix_seconds(_time), 86400) div 3600").cast("string")
    if rule.part == "month":
        return F.month(time).cast("string")
    return F.element_at(F.array(*[F.lit(day) for day in _WEEKDAYS]), F.dayofweek(time))


def _days_to_cutoff(unfold: Unfold) -> Column:
    assert unfold.cutoff is not None  # the stage checks that timed sources have a cutoff
    return (cutoff_of(unfold).cast("double") - F.col("_time").cast("double")) / _SECONDS_A_DAY
