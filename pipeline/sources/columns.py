"""Declared columns: whether they are there, of which type, and as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.errors import UserError

_WHOLE = float(2**53)
"""Doubles below it in size hold every whole number."""


def quoted(column: str) -> str:
    """A column, or a nested field `a.b`, for use in Spark SQL."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in column.split("."))


def whole(name: str) -> str:
    """A column by its whole name, dots included, for use in Spark SQL."""
    return "`" + name.replace("`", "``") + "`"


def type_of(rows_df: DataFrame, column: str) -> T.DataType:
    """The type of a column or nested field that is there."""
    return rows_df.select(F.col(quoted(column))).schema.fields[0].dataType


def check_columns(rows_df: DataFrame, columns: Iterable[str], what: str) -> None:
    """Raises UserError that names the columns that are missing and those that are there.

    `columns` may be a mapping column -> what declares it, which is then said too.
    """
    missing = []
    for column in dict.fromkeys(columns):
        try:
            type_of(rows_df, column)
        except AnalysisException:
            use = f" ({columns[column]})" if isinstance(columns, Mapping) else ""
            missing.append(column + use)
    if missing:
        there = ", ".join(_names(rows_df.schema)) or "none"
        raise UserError(f"{what}: no column {', '.join(missing)}; the columns are: {there}")


def is_simple(kind: T.DataType) -> bool:
    """Whether values have a text of their own: no array, map, struct or binary."""
    return not isinstance(kind, T.ArrayType | T.MapType | T.StructType | T.BinaryType)


def as_text(column: Column, kind: T.DataType) -> Column:
    """A value as text, blanks at its ends cut; whole numbers have no decimal point whatever their type, so that an
    identifier read as 7.0 is still 7. Null for NaN and blank text."""
    if isinstance(kind, T.DoubleType | T.FloatType):
        whole = (column == F.floor(column)) & (F.abs(column) < _WHOLE)
        text = F.when(whole, column.cast("long").cast("string")).otherwise(column.cast("string"))
        return F.when(~F.isnan(column), text)
    if isinstance(kind, T.DecimalType) and kind.scale > 0:
        return F.when(column == 0, "0").otherwise(F.regexp_replace(column.cast("string"), r"\.?0+$", ""))
    if isinstance(kind, T.StringType):
        text = F.trim(column)
        return F.when(text != "", text)
    return column.cast("string")


def _names(schema: T.StructType, above: str = "") -> list[str]:
    """The names of columns and of fields nested in them, as a user writes them."""
    names = []
    for field in schema.fields:
        if not above and field.name.startswith("_") and not field.name.startswith("_c"):
            continue  # our own marks; _c0, _c1 … are columns of a CSV file without a header
        if field.name == "_corrupt_record":
            continue
        if isinstance(field.dataType, T.StructType):
            names += _names(field.dataType, f"{above}{field.name}.")
        else:
            names.append(above + field.name)
    return names
