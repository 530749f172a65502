"""Reading event sources: what is declared is checked, bad rows are kept apart with the reason.

A source's rows come with two columns besides their own: `_entity` (string) and `_time` (timestamp in UTC; null for
a static source).
"""

from __future__ import annotations

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.config import Config
from pipeline.config.data import Source, Table
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.session import get_session

CORRUPT = "_corrupt_record"
DEFECT = "_defect"


def read_table(config: Config, table: Table) -> DataFrame:
    """The rows of a table, columns renamed; `_corrupt_record` holds what CSV or JSON could not be parsed.

    Raises UserError for a path that is not there or cannot be read, and for a column to rename that is not there.
    """
    spark = get_session(config)
    path = Layout.of(config).resolve(table.path)
    what = getattr(table, "name", "knowledge_base")
    if not _exists(spark, path):
        raise UserError(f"{what}: no {table.format} data at {path}; check its path, or run the stage that writes it")
    try:
        rows_df = _load(spark, table, path)
    except AnalysisException as error:
        raise UserError(f"{what}: {path} cannot be read as {table.format}: {_first_line(error)}") from None
    for column in table.rename:
        check_columns(rows_df, [column], what)
    return rows_df.withColumnsRenamed(table.rename)


def read_marked(config: Config, source: Source) -> DataFrame:
    """All rows of a source with `_entity`, `_time` and `_defect`: why a row is bad, null for good ones.

    Raises UserError for a declared column that is not there (naming those that are) or an unknown type.
    """
    rows_df = read_table(config, source)
    declared = [source.entity, *([source.time] if source.time else []), *source.types]
    declared += [column for rule in source.rules for column in (rule.column, rule.weight) if column]
    check_columns(rows_df, declared, f"source {source.name}")
    defect: list[Column] = []
    if CORRUPT in rows_df.columns:
        defect.append(F.when(F.col(CORRUPT).isNotNull(), f"not readable as {source.format}"))
    for column, type_name in source.types.items():
        cast = _try_cast(column, type_name, source)
        defect.append(F.when(F.col(quoted(column)).isNotNull() & cast.isNull(), f"{column}: not a {type_name}"))
    entity = F.col(quoted(source.entity)).cast("string")
    defect.append(F.when(entity.isNull() | (F.trim(entity) == ""), f"{source.entity}: no entity"))
    time = _time(rows_df, source)
    if source.time:
        defect.append(F.when(time.isNull(), f"{source.time}: no readable time"))
    # The defects look at the columns as they were read, so they come before the casts.
    marked_df = rows_df.withColumns({DEFECT: F.coalesce(*defect), "_entity": entity, "_time": time})
    marked_df = marked_df.withColumns({name: _try_cast(name, to, source) for name, to in source.types.items()})
    if source.where:
        try:
            marked_df = marked_df.where(F.col(DEFECT).isNotNull() | F.expr(source.where))
        except (AnalysisException, ParseException) as error:
            raise UserError(f"source {source.name}: where {source.where!r}: {_first_line(error)}") from None
    return marked_df


def read_source(config: Config, source: Source) -> DataFrame:
    """The good rows of a source."""
    marked_df = read_marked(config, source)
    return marked_df.where(F.col(DEFECT).isNull()).drop(DEFECT, CORRUPT)


def bad_rows(marked_df: DataFrame, source: Source) -> DataFrame:
    """The bad rows for the quarantine: source, reason, row (as JSON)."""
    bad_df = marked_df.where(F.col(DEFECT).isNotNull())
    columns = [quoted(name) for name in marked_df.columns if name not in (DEFECT, "_entity", "_time")]
    row = F.to_json(F.struct(*columns))
    return bad_df.select(F.lit(source.name).alias("source"), F.col(DEFECT).alias("reason"), row.alias("row"))


def quoted(column: str) -> str:
    """A column, or a nested field `a.b`, for use in Spark SQL."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in column.split("."))


def check_columns(rows_df: DataFrame, columns: list[str], what: str) -> None:
    """Raises UserError naming the columns that are missing and those that are there."""
    missing = []
    for column in dict.fromkeys(columns):
        try:
            rows_df.select(quoted(column))
        except AnalysisException:
            missing.append(column)
    if missing:
        there = ", ".join(name for name in rows_df.columns if not name.startswith("_"))
        raise UserError(f"{what}: no column {', '.join(missing)}; it has: {there}")


def _exists(spark: SparkSession, path: str) -> bool:
    """Whether anything is at a path of whatever file system; globs count when they match."""
    jvm = spark._jvm
    assert jvm is not None
    hadoop_path = jvm.org.apache.hadoop.fs.Path(path)
    file_system = hadoop_path.getFileSystem(spark._jsc.hadoopConfiguration())
    found = file_system.globStatus(hadoop_path)
    return found is not None and len(found) > 0


def _load(spark: SparkSession, table: Table, path: str) -> DataFrame:
    reader = spark.read.format(table.format).options(**table.options)
    if table.format == "json":
        reader = reader.option("primitivesAsString", "true")
    if table.format not in ("csv", "json"):
        return reader.load(path)
    # A schema that names the column for corrupt records is needed for Spark to fill it.
    schema = reader.load(path).schema
    fields = [field for field in schema.fields if field.name != CORRUPT]
    schema = T.StructType([*fields, T.StructField(CORRUPT, T.StringType())])
    return reader.options(mode="PERMISSIVE", columnNameOfCorruptRecord=CORRUPT).schema(schema).load(path)


def _try_cast(column: str, type_name: str, source: Source) -> Column:
    try:
        T._parse_datatype_string(type_name)
    except Exception:
        raise UserError(f"source {source.name}: types.{column}: {type_name!r} is not a Spark SQL type") from None
    return F.expr(f"try_cast({quoted(column)} AS {type_name})")


def _time(rows_df: DataFrame, source: Source) -> Column:
    """The event time as a timestamp; null where it cannot be read."""
    if source.time is None:
        return F.lit(None).cast("timestamp")
    column = quoted(source.time)
    if source.time_unit == "seconds":
        return F.timestamp_micros((F.expr(f"try_cast({column} AS double)") * 1_000_000).cast("long"))
    if source.time_unit == "milliseconds":
        return F.timestamp_millis(F.expr(f"try_cast({column} AS bigint)"))
    return F.expr(f"try_cast({column} AS timestamp)")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
