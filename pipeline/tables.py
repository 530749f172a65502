"""The table catalogue of a run: named Delta (default) or Parquet tables, replaced atomically."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from pipeline.config import Config
from pipeline.config.names import identifier, sql_name
from pipeline.environment import check_writable
from pipeline.errors import UserError
from pipeline.generations import current_generation, new_generation
from pipeline.layout import Layout


class Tables:
    """Tables by name, one folder each under `tables/`.

    Delta tables are replaced by a transaction, Parquet ones as generations: a reader sees the old table or the
    new one, never part of one. One writer at a time on a local disk.
    """

    def __init__(self, config: Config, spark: SparkSession) -> None:
        self._format = config.spark.tables
        self._spark = spark
        self._root = Layout.of(config).tables
        self._together: set[str] = set()
        self._replaced: set[str] = set()
        self._schemas: dict[str, StructType] = {}
        """Of the Parquet tables that this object wrote: to read a table's schema takes Spark a job."""

    def path(self, name: str) -> str:
        """The folder of a table. Raises ValueError for an unsafe name."""
        return str((self._root / identifier(name)).absolute())

    def place(self, name: str) -> str:
        """Where a table is, for people: its folder, or its name where it is in Spark's catalog."""
        return name if _in_catalog(name) else self.path(name)

    def exists(self, name: str) -> bool:
        if _in_catalog(name):
            return self._spark.catalog.tableExists(name)
        folder = self._root / identifier(name)
        return (folder / "_delta_log").is_dir() if self._format == "delta" else (folder / "CURRENT").is_file()

    def read(self, name: str, stage: str = "an earlier") -> DataFrame:
        """A table. Raises UserError, naming the stage that writes it, where it does not stand."""
        if not self.exists(name):
            raise UserError(f"{self.place(name)}: no table {name} here; run {stage} stage first")
        if _in_catalog(name):
            return self._spark.table(name)
        if name not in self._together and self._mark(name).exists():
            raise UserError(
                f"{self.place(name)}: a stage was stopped before all tables that belong together were written; run "
                f"{stage} stage again"
            )
        if self._format == "delta":
            return self._spark.read.format("delta").load(self.path(name))
        reader = self._spark.read.schema(self._schemas[name]) if name in self._schemas else self._spark.read
        return reader.parquet(str(current_generation(self._root / name, f"table {name}", stage).absolute()))

    def replace(self, name: str, rows_df: DataFrame) -> None:
        """Write a table whole, in place of what stood there. Raises UserError where the place cannot be written."""
        check_writable(Path(self.path(name)))
        self._replaced.add(name)
        if self._format == "delta":
            writer = rows_df.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
            writer.save(self.path(name))
        else:
            with new_generation(self._root / identifier(name), "table") as folder:
                rows_df.write.mode("overwrite").parquet(str(folder.absolute()))
            self._schemas[name] = rows_df.schema

    @contextmanager
    def together(self, *names: str) -> Iterator[None]:
        """Tables that make sense only together: none of them can be read, but by this object, from here until the
        end. A process that dies in between, or an exception after any table was replaced, leaves them so until
        they are written again.
        """
        check_writable(self._root)
        self._root.mkdir(parents=True, exist_ok=True)
        were_whole = not any(self._mark(name).exists() for name in names)
        for name in names:
            self._mark(name).touch()
        self._together, self._replaced = set(names), set()
        try:
            yield
        except BaseException:
            if were_whole and not self._replaced:  # nothing was touched yet
                for name in names:
                    self._mark(name).unlink(missing_ok=True)
            raise
        self._together = set()
        for name in names:
            self._mark(name).unlink(missing_ok=True)

    def _mark(self, name: str) -> Path:
        return self._root / f"{identifier(name)}.unfinished"

    def replace_where(self, name: str, rows_df: DataFrame, condition: str, partition_by: list[str]) -> None:
        """Delta only: replace the rows that meet a condition, by one transaction; creates the table if need be.

        A name with dots is a table of Spark's catalog.
        """
        if self._format != "delta":
            raise UserError(f"table {name}: replacing part of a table needs spark.tables: delta")
        writer = rows_df.write.format("delta").mode("overwrite").partitionBy(*partition_by)
        if self.exists(name):
            writer = writer.option("replaceWhere", condition)
        if _in_catalog(name):
            writer.saveAsTable(name)
        else:
            check_writable(Path(self.path(name)))
            writer.save(self.path(name))


def _in_catalog(name: str) -> bool:
    """Whether a table is Spark's to find, `schema.table`, and not a folder under the working folder."""
    return "." in sql_name(name)
