"""Open a configured table: Parquet, CSV, JSON or Delta."""

from __future__ import annotations

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, DataFrameReader, SparkSession
from pyspark.sql import types as T

from pipeline.config import Config
from pipeline.config.sources import Table
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.session import get_session
from pipeline.sources.columns import check_columns

CORRUPT = "_corrupt_record"
"""The text of a CSV or JSON record that could not be parsed; null in the others."""


def read_table(config: Config, table: Table) -> DataFrame:
    """The rows of a table as they are, columns renamed; with `_corrupt_record` for CSV and JSON.

    Text formats are read as text: a type found by looking at the data could change with events after the cutoff.
    Raises UserError for a path that is not there or does not hold the format, and for a column to rename that is
    not there.
    """
    what = name_of(table)
    rows_df = open_at(config, table, what, table.format)
    return renamed(rows_df, table, what)


def open_at(config: Config, table: Table, what: str, form: str) -> DataFrame:
    """What is at a table's path, by one of Spark's readers. Raises UserError."""
    spark = get_session(config)
    path = Layout.of(config).resolve(table.path)
    if not _exists(spark, path):
        raise UserError(f"{what}: no {form} data at {path}; check its path, or run the stage that writes it")
    reader = spark.read.format(form).options(**table.options)
    if form == "json" and "primitivesAsString" not in table.options:
        reader = reader.option("primitivesAsString", "true")
    try:
        return _open_text(reader, path, table) if form in ("csv", "json") else reader.load(path)
    except (PySparkException, Py4JJavaError) as error:
        raise UserError(f"{what}: {path} cannot be read as {form}: {first_line(error)}") from None


def name_of(table: Table) -> str:
    """What a table is called in messages."""
    return f"{_KINDS.get(type(table).__name__, 'table')} {getattr(table, 'name', '')}".strip()


_KINDS = {
    "WalkSource": "source",
    "TableSource": "table",
    "NodeSource": "source",
    "FactSource": "source",
    "DatabaseTable": "table",
    "Nodes": "graph nodes",
    "Edges": "graph edges",
    "Source": "source",
    "LabelTable": "label table",
    "KnowledgeBase": "knowledge_base",
    "Join": "join",
}


def parse_type(text: str, column: str, what: str) -> T.DataType:
    """A Spark SQL type by its name. Raises UserError."""
    try:
        return T.DataType.fromDDL(text)
    except PySparkException:
        raise UserError(f"{what}: types.{column}: {text!r} is not a Spark SQL type such as double or date") from None


def first_line(error: Exception) -> str:
    """What a Spark error says, without its plan and traces."""
    text = str(error.java_exception.getMessage()) if isinstance(error, Py4JJavaError) else str(error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__


def _exists(spark: SparkSession, path: str) -> bool:
    """Whether anything is at a path of whatever file system; globs count when they match."""
    jvm = spark._jvm
    assert jvm is not None
    hadoop_path = jvm.org.apache.hadoop.fs.Path(path)
    file_system = hadoop_path.getFileSystem(spark._jsc.hadoopConfiguration())
    found = file_system.globStatus(hadoop_path)
    return found is not None and len(found) > 0


def _open_text(reader: DataFrameReader, path: str, table: Table) -> DataFrame:
    """With a schema that has a place for malformed records. Columns of JSON that `types` declares as nested
    (map<string,double>, …) are parsed as such, the rest stays text."""
    declared = {column: parse_type(text, column, name_of(table)) for column, text in table.types.items()}
    nested = {
        column: kind
        for column, kind in declared.items()
        if table.format == "json" and isinstance(kind, T.ArrayType | T.MapType | T.StructType)
    }
    found = [field for field in reader.load(path).schema.fields if field.name != CORRUPT]
    names = {field.name: table.rename.get(field.name, field.name) for field in found}
    fields = [T.StructField(field.name, nested.get(names[field.name], field.dataType)) for field in found]
    schema = T.StructType([*fields, T.StructField(CORRUPT, T.StringType())])
    reader = reader.options(mode="PERMISSIVE", columnNameOfCorruptRecord=CORRUPT)
    if table.format == "csv":
        # A parser that skips unused columns does not see that a record is too short or too long.
        reader = reader.option("columnPruning", "false")
        if "enforceSchema" not in table.options:
            # Else a file whose header has the columns in another order would be read with values swapped.
            reader = reader.option("enforceSchema", "false")
    return reader.schema(schema).load(path)


def renamed(rows_df: DataFrame, table: Table, what: str) -> DataFrame:
    """Columns under the names that the table's `rename` gives them."""
    missing = [name for name in table.rename if name not in rows_df.columns]
    if missing:
        check_columns(rows_df, dict.fromkeys(missing, "rename"), what)
    names = [table.rename.get(name, name) for name in rows_df.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{what}: after rename there are two columns {', '.join(twice)}")
    return rows_df.toDF(*names)
