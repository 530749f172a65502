"""Rules as Spark SQL: what each turns a row into, an array of (field, value, weight)."""

from __future__ import annotations

import math

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.config.data import Rule, Source, Unfold
from pipeline.errors import UserError
from pipeline.sources import quoted

ASSOCIATION = "array<struct<field:int,value:string,weight:double>>"
_SECONDS_A_DAY = 86_400.0
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def associations_of(rows_df: DataFrame, source: Source, rule: Rule, field: int, unfold: Unfold) -> Column:
    """The associations of one row under a rule, as `ASSOCIATION`. Values that are null or empty make none.

    A `path` rule expects the column `path_column(rule)`, joined by knowledge.py. Raises UserError where a column
    is not of a type that the rule can read.
    """
    weight = _event_weight(rule, unfold)
    if rule.kind == "path":
        pairs = F.coalesce(F.col(path_column(rule)), F.array().cast("array<struct<value:string,weight:double>>"))
        return F.transform(pairs, lambda p: _association(field, p["value"], p["weight"] * weight)).cast(ASSOCIATION)
    if rule.kind == "time":
        return _one(field, _time_part(rule), weight)
    if rule.kind == "recency":
        days = (F.lit(_instant(unfold.cutoff)).cast("double") - F.col("_time").cast("double")) / _SECONDS_A_DAY
        return _one(field, F.floor(F.log2(F.greatest(days, F.lit(0.0)) + 1)).cast("string"), weight)
    assert rule.column is not None
    column = F.col(quoted(rule.column))
    kind = rows_df.select(column).schema.fields[0].dataType
    if rule.kind == "multi":
        return _multi(rule, source, field, column, kind, weight)
    if rule.kind == "map":
        return _map(rule, source, field, column, kind, weight)
    if isinstance(kind, T.ArrayType | T.MapType | T.StructType):
        raise UserError(
            f"source {source.name}, rule {rule.name}: column {rule.column} is {kind.simpleString()}; "
            f"kind {rule.kind} reads single values: use multi or map, or name a field of it"
        )
    if rule.kind == "number":
        return _one(field, log_rounded(column.cast("double"), rule.base), weight)
    return _one(field, column.cast("string"), weight)


def path_column(rule: Rule) -> str:
    """Where the values that a path rule reaches from a row are."""
    return f"_path_{rule.name}"


def log_rounded(number: Column, base: float) -> Column:
    """A number rounded to the nearest whole power of a base: its sign and the exponent, `0` for zero.

    Null and NaN make null.
    """
    exponent = F.round(F.log(F.abs(number)) / math.log(base)).cast("int")
    sign = F.when(number < 0, "-").otherwise("")
    rounded = F.concat(sign, F.lit(f"{base:g}^"), exponent.cast("string"))
    return F.when(number == 0, "0").when(F.isnan(number) | (F.abs(number) == math.inf), None).otherwise(rounded)


def split_text(column: Column, separator: str) -> Column:
    """Text split by a separator, which is text too, not a pattern: Q..E quotes it for Java."""
    return F.transform(F.split(column.cast("string"), "\\Q" + separator.replace("\\E", "\\E\\\\E\\Q") + "\\E"), F.trim)


def _association(field: int, value: Column, weight: Column) -> Column:
    return F.struct(F.lit(field).alias("field"), value.alias("value"), weight.cast("double").alias("weight"))


def _one(field: int, value: Column, weight: Column) -> Column:
    """One value, or none."""
    one = F.array(_association(field, value, weight)).cast(ASSOCIATION)
    return F.when(value.isNotNull() & (value != ""), one).otherwise(F.array().cast(ASSOCIATION))


def _event_weight(rule: Rule, unfold: Unfold) -> Column:
    weight = F.coalesce(F.col(quoted(rule.weight)).cast("double"), F.lit(0.0)) if rule.weight else F.lit(1.0)
    if rule.aggregate != "decay":
        return weight
    assert rule.half_life is not None
    days = (F.lit(_instant(unfold.cutoff)).cast("double") - F.col("_time").cast("double")) / _SECONDS_A_DAY
    return weight * F.pow(F.lit(0.5), days / rule.half_life)


def _multi(rule: Rule, source: Source, field: int, column: Column, kind: T.DataType, weight: Column) -> Column:
    if isinstance(kind, T.ArrayType):
        values = column
    elif rule.separator:
        values = split_text(column, rule.separator)
    else:
        raise UserError(
            f"source {source.name}, rule {rule.name}: column {rule.column} is {kind.simpleString()}, not an array; "
            "give a separator to split it by"
        )
    texts = F.transform(values, lambda value: F.trim(value.cast("string")))
    kept = F.filter(texts, lambda value: value.isNotNull() & (value != ""))
    associations = F.transform(kept, lambda value: _association(field, value, weight))
    return F.coalesce(associations.cast(ASSOCIATION), F.array().cast(ASSOCIATION))


def _map(rule: Rule, source: Source, field: int, column: Column, kind: T.DataType, weight: Column) -> Column:
    """Numeric values weigh their key; other values become `key:value`."""
    if not isinstance(kind, T.MapType):
        raise UserError(
            f"source {source.name}, rule {rule.name}: column {rule.column} is {kind.simpleString()}, not a map"
        )
    numeric = isinstance(kind.valueType, T.NumericType)

    def association(entry: Column) -> Column:
        key = entry["key"].cast("string")
        if numeric:
            value = F.lit(1.0) if rule.aggregate == "count" else entry["value"].cast("double")
            return _association(field, key, weight * value)
        return _association(field, F.concat_ws(":", key, entry["value"].cast("string")), weight)

    entries = F.filter(F.map_entries(column), lambda entry: entry["value"].isNotNull() & (entry["key"] != ""))
    return F.coalesce(F.transform(entries, association).cast(ASSOCIATION), F.array().cast(ASSOCIATION))


def _time_part(rule: Rule) -> Column:
    time = F.col("_time")
    if rule.part == "hour":
        return F.hour(time).cast("string")
    if rule.part == "month":
        return F.month(time).cast("string")
    return F.element_at(F.array(*[F.lit(day) for day in _WEEKDAYS]), F.dayofweek(time))


def _instant(text: str | None) -> Column:
    assert text is not None  # the stage checks that timed sources have a cutoff
    return F.lit(text).cast("timestamp")
