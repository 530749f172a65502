"""Rows with the entity, the event time, values of the declared types, and what is wrong with the bad ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.config.sources import Source
from pipeline.errors import UserError
from pipeline.sources.columns import as_text, is_simple, quoted, type_of, whole
from pipeline.sources.files import CORRUPT, first_line, name_of, parse_type

DEFECT = "_defect"
"""Why a row is bad; null for good rows."""
RAW = "_raw"
"""A row as JSON, as it was read."""
FILE = "_file"
"""The file that a row was read from."""
NAIVE = "names no time zone"
"""The end of the reason for which a time without a zone is bad."""
_NAIVE = r"^\s*\d{4,}(-\d{1,2}){0,2}([ T](\d{1,2}(:\d{1,2}){0,2}(\.\d*)?)?)?\s*$"
"""Of the texts that Spark takes for a timestamp those without a zone."""


def text_column(rows_df: DataFrame, column: str, what: str) -> Column:
    """A column as text, for what identifies. Raises UserError where it does not hold one value a row."""
    kind = type_of(rows_df, column)
    if not is_simple(kind):
        raise UserError(f"{what} {column} is {kind.simpleString()}, not one value")
    return as_text(F.col(quoted(column)), kind)


def marked(
    rows_df: DataFrame, source: Source, entity: Column, wrong: Mapping[str, Column], own: Sequence[str] | None = None
) -> DataFrame:
    """What `read_marked` says of rows that are read already. wrong: more reasons for which rows are bad; own: the
    columns that the quarantine shows (default: all)."""
    what = name_of(source)
    converted, defects = _converted(rows_df, source)
    time = _time(rows_df, source)
    first = dict(wrong)
    if source.time is not None:
        given = F.col(quoted(source.time))
        if isinstance(type_of(rows_df, source.time), T.StringType):
            given = as_text(given, T.StringType())
        unit = "a timestamp" if source.time_unit == "timestamp" else f"a time in {source.time_unit}"
        first |= {f"{source.time} is missing": given.isNull(), f"{source.time} is not {unit}": time.isNull()}
        first |= {f"{source.time} {NAIVE}": _naive(rows_df, source)}
    if CORRUPT in rows_df.columns:
        first = {f"malformed {source.format} record": F.col(CORRUPT).isNotNull(), **first}
    reasons = [F.when(condition, F.lit(reason)) for reason, condition in (first | defects).items()]
    defect = F.coalesce(*reasons, F.lit(None).cast("string"))
    raw = F.to_json(F.struct(*(F.col(whole(name)) for name in own or rows_df.columns)))
    columns = {name: F.col(whole(name)) for name in rows_df.columns}
    for column, value in converted.items():
        root, _, rest = column.partition(".")
        columns[root] = columns[root].withField(rest, value) if rest else value
    columns |= {"_entity": entity, "_time": time, DEFECT: defect, RAW: raw}
    return _where(rows_df.select(*(value.alias(name) for name, value in columns.items())), source, what)


def good_rows(marked_df: DataFrame) -> DataFrame:
    """The rows of `read_marked` with nothing wrong, without its marks."""
    return marked_df.where(F.col(DEFECT).isNull()).drop(DEFECT, RAW, CORRUPT)


def bad_rows(marked_df: DataFrame, source: Source) -> DataFrame:
    """The bad rows for the quarantine: source, reason, row (as JSON)."""
    bad_df = marked_df.where(F.col(DEFECT).isNotNull())
    return bad_df.select(F.lit(source.name).alias("source"), F.col(DEFECT).alias("reason"), F.col(RAW).alias("row"))


def declared(source: Source) -> dict[str, str]:
    """Every column the configuration names, and where."""
    declared = {source.entity: "entity"} if source.entity else {}
    if source.time is not None:
        declared.setdefault(source.time, "time")
    for column in source.types:
        declared.setdefault(column, "types")
    for rule in source.rules:
        for name, use in ((rule.column, f"rule {rule.name}"), (rule.weight, f"weight of rule {rule.name}")):
            if name is not None:
                declared.setdefault(name, use)
    return declared


def _numbers(source: Source) -> set[str]:
    """Columns that hold numbers by their use; text in them is converted."""
    weights = {rule.weight for rule in source.rules if rule.weight is not None}
    return weights | {rule.column for rule in source.rules if rule.kind == "number" and rule.column is not None}


def _converted(rows_df: DataFrame, source: Source) -> tuple[dict[str, Column], dict[str, Column]]:
    """The columns to convert, and what speaks against a row for them."""
    what = name_of(source)
    types = {column: parse_type(text, column, what) for column, text in source.types.items()}
    numbers = {column: type_of(rows_df, column) for column in sorted(_numbers(source))}
    for column, kind in numbers.items():
        if isinstance(types.get(column, kind), T.StringType):
            types[column] = T.DoubleType()
        elif not isinstance(types.get(column, kind), T.NumericType):
            raise UserError(f"{what}: column {column} is {kind.simpleString()}, but a number is wanted of it")
    converted: dict[str, Column] = {}
    defects: dict[str, Column] = {}
    for column, wanted in types.items():
        if type_of(rows_df, column) == wanted:
            continue
        value = F.col(quoted(column))
        if isinstance(type_of(rows_df, column), T.StringType):
            value = F.when(F.trim(value) != "", value)  # a blank is a missing value
        converted[column] = value.try_cast(wanted)
        try:
            rows_df.select(converted[column])
        except PySparkException:
            there = type_of(rows_df, column).simpleString()
            raise UserError(f"{what}: types.{column}: {there} cannot be made {wanted.simpleString()}") from None
        defects[f"{column} is not of type {wanted.simpleString()}"] = value.isNotNull() & converted[column].isNull()
    for column in numbers:
        number = converted.get(column, F.col(quoted(column)))
        if isinstance(types.get(column, numbers[column]), T.DoubleType | T.FloatType):
            defects[f"{column} is not finite"] = F.isnan(number) | (F.abs(number) == float("inf"))
    return converted, defects


def _time(rows_df: DataFrame, source: Source) -> Column:
    """The event time; null where it cannot be read, or is out of the years 1 to 9999."""
    if source.time is None:
        return F.lit(None).cast("timestamp")
    column, kind = F.col(quoted(source.time)), type_of(rows_df, source.time)
    is_time = isinstance(kind, T.DateType | T.TimestampType | T.TimestampNTZType)
    if not (isinstance(kind, T.StringType) or is_time == (source.time_unit == "timestamp")):
        hint = "timestamp" if is_time else "seconds or milliseconds"
        raise UserError(f"{name_of(source)}: time {source.time} is {kind.simpleString()}; set time_unit: {hint}")
    if source.time_unit != "timestamp":
        micros = 1_000_000 if source.time_unit == "seconds" else 1_000
        time = F.timestamp_micros((column.try_cast("decimal(24,6)") * F.lit(micros)).cast("long"))
    elif is_time:
        time = column.cast("timestamp")
    else:  # Spark would take `12:30` for a time of today.
        time = F.when(column.rlike(r"^\s*\d{4}"), column.try_cast("timestamp"))
    time = _at_zone(time, kind, column, source)
    first, last = (F.lit(text).cast("timestamp") for text in ("0001-01-01", "9999-12-31 23:59:59"))
    return F.when(time.between(first, last), time)


def _at_zone(time: Column, kind: T.DataType, column: Column, source: Source) -> Column:
    """A time that names no zone, read as UTC till here, as one of the source's zone. Raises UserError."""
    if source.time_unit != "timestamp":
        return time
    what = f"{name_of(source)}: time {source.time} is {kind.simpleString()}"
    if isinstance(kind, T.TimestampType):
        if source.timezone is not None:
            raise UserError(f"{what}, which are instants whatever the zone; take timezone out")
        return time
    if source.timezone is None and not isinstance(kind, T.StringType):
        raise UserError(f"{what}, which names no time zone; set timezone: UTC, or the zone that the times are of")
    if source.timezone in (None, "UTC"):
        return time
    shifted = F.to_utc_timestamp(time, source.timezone)
    return F.when(column.rlike(_NAIVE), shifted).otherwise(time) if isinstance(kind, T.StringType) else shifted


def _naive(rows_df: DataFrame, source: Source) -> Column:
    """Whether a row's time names no zone, and none is configured."""
    assert source.time is not None
    is_text = isinstance(type_of(rows_df, source.time), T.StringType)
    if source.time_unit != "timestamp" or source.timezone is not None or not is_text:
        return F.lit(False)
    return F.coalesce(F.col(quoted(source.time)).rlike(_NAIVE), F.lit(False))


def _where(rows_df: DataFrame, source: Source, what: str) -> DataFrame:
    """Rows that `where` keeps; bad rows also where it cannot tell."""
    if source.where is None:
        return rows_df
    try:
        return rows_df.where(F.coalesce(F.expr(source.where), F.col(DEFECT).isNotNull()))
    except PySparkException as error:
        raise UserError(f"{what}: where: {source.where!r} cannot be used: {first_line(error)}") from None
