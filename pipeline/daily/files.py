"""Which days the files of a source hold: the table `daily_files`. New and changed files alone are looked at.

A day's events may stand in any files: late ones usually come in later files. What the record says of a file holds for
as long as its size, its time of modification and the way the source is read do. A day's input is known by the number
of its events and the sum of their hashes over all files, so files that are rewritten or merged without a change to
their rows open no day again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.config import Config
from pipeline.config.sources import Source
from pipeline.daily.day_rules import reading_of
from pipeline.errors import UserError
from pipeline.session import get_session
from pipeline.sources import DEFECT, FILE, RAW, quoted, read_marked, read_table
from pipeline.sources.columns import type_of
from pipeline.tables import Tables

logger = logging.getLogger(__name__)

TABLE = "daily_files"
"""source, file, bytes, modified, reading (fingerprint, see day_rules.py), day (null: rows of no day, so bad ones),
rows, hash, first, last. A file that is gone stays, with bytes -1, until its days are settled (`forget`)."""
BAD = "daily_bad_rows"
"""source, file, reason, row: what is wrong in which file."""


class Events(NamedTuple):
    """The events of a day, of all sources: how many, and the sum of their hashes (modulo 2^64)."""

    rows: int
    hash: int


@dataclass(frozen=True, slots=True)
class _State:
    bytes: int
    modified: int
    reading: str


_STATE = ("bytes", "modified", "reading")
_GONE = -1


class Files:
    """What is known of the files of the sources."""

    def __init__(self, config: Config, sources: Sequence[Source]) -> None:
        self._config = config
        self._sources = sources
        self._spark = get_session(config)
        self._tables = Tables(config, self._spark)

    def refresh(self) -> int:
        """Look at files that are new or changed, mark those that are gone. How many files were read."""
        return sum(self._refresh(source) for source in self._sources)

    def by_day(self) -> dict[str, Events]:
        """The events of every day that any file has."""
        known_df = self._known().where(F.col("day").isNotNull())
        summed_df = known_df.groupBy("day").agg(F.sum("rows").alias("rows"), F.sum("hash").alias("hash"))
        return {str(row["day"]): Events(row["rows"], row["hash"]) for row in summed_df.collect()}

    def days_of_gone(self) -> set[str]:
        """The days that files which are gone had events of."""
        rows = self._all().where((F.col("bytes") == _GONE) & (F.col("rows") > 0)).select("day").distinct().collect()
        return {str(row["day"]) for row in rows}

    def forget(self, days: Collection[str]) -> None:
        """What files that are gone had of these days: nothing that is kept is of them any more."""
        if days and self.days_of_gone() & set(days):
            dates = ", ".join(f"date '{day}'" for day in sorted(days))
            condition = f"bytes = {_GONE} AND day IN ({dates})"
            self._tables.replace_where(TABLE, self._all().where("false"), condition, ["source"])

    def rows_of(self, source: Source, days: Sequence[str]) -> DataFrame | None:
        """The good rows of these days, from the files that have any; None where none has."""
        known_df = self._known().where((F.col("source") == source.name) & is_any_day(F.col("day"), days))
        files = sorted(row["file"] for row in known_df.select("file").distinct().collect())
        if not files:
            return None
        marked_df = read_marked(self._config, source, with_file=True).where(F.col(FILE).isin(files))
        good_df = marked_df.where(F.col(DEFECT).isNull()).drop(DEFECT, RAW, FILE)
        return good_df.where(is_any_day(F.to_date("_time"), days))

    def counts(self, source: Source) -> DataFrame:
        """day, rows, first, last of a source, one row a day."""
        known_df = self._known().where((F.col("source") == source.name) & F.col("day").isNotNull())
        first, last = F.min("first").alias("first"), F.max("last").alias("last")
        return known_df.groupBy("day").agg(F.sum("rows").alias("rows"), first, last)

    def bad_rows(self) -> DataFrame | None:
        """source, reason, row: for the quarantine; None where no source ever had a bad one."""
        if not self._tables.exists(BAD):
            return None
        names = [source.name for source in self._sources]
        return self._tables.read(BAD).where(F.col("source").isin(names)).select("source", "reason", "row")

    def _all(self) -> DataFrame:
        return self._tables.read(TABLE, "the daily")

    def _known(self) -> DataFrame:
        """Of the files that are there."""
        return self._all().where(F.col("bytes") != _GONE)

    def _refresh(self, source: Source) -> int:
        there = _listed(self._config, self._spark, source, reading_of(self._config, source))
        known = self._recorded(source)
        changed = {name for name, state in there.items() if known.get(name) != state}
        gone = set(known) - set(there)
        if not changed and not gone:
            return 0
        if gone:
            logger.info("source %s: %d files are gone", source.name, len(gone))
        marked_df = read_marked(self._config, source, with_file=True)
        if changed != set(there):
            marked_df = marked_df.where(F.col(FILE).isin(sorted(changed)))
        found_df = _looked_at(marked_df, source, {name: there[name] for name in changed}).persist()
        try:
            counts = found_df.where("bad > 0").select(F.sum("bad")).first()
            bad = counts[0] if counts is not None else None
            if bad or (changed | gone) & set(known):
                self._write_bad(source, marked_df if bad else None, changed | gone)
            self._write(source, found_df.drop("bad"), changed, gone)
        finally:
            found_df.unpersist()
        return len(changed)

    def _recorded(self, source: Source) -> dict[str, _State]:
        if not self._tables.exists(TABLE):
            return {}
        rows_df = self._known().where(F.col("source") == source.name).select("file", *_STATE).distinct()
        return {row["file"]: _State(*(row[name] for name in _STATE)) for row in rows_df.collect()}

    def _write(self, source: Source, found_df: DataFrame, changed: set[str], gone: set[str]) -> None:
        """The record of a source, with these files in place of what it said of the changed ones."""
        here = F.col("source") == source.name
        if self._tables.exists(TABLE):
            others_df = self._all().where(here & ~F.col("file").isin(sorted(changed)))
            is_gone = F.col("file").isin(sorted(gone))
            marked_df = others_df.withColumn(
                "bytes", F.when(is_gone, F.lit(_GONE).cast("long")).otherwise(F.col("bytes"))
            )
            found_df = marked_df.unionByName(found_df)
        self._tables.replace_where(TABLE, found_df.coalesce(1), f"source = '{source.name}'", ["source"])

    def _write_bad(self, source: Source, marked_df: DataFrame | None, stale: set[str]) -> None:
        """Before the record: where this is cut short, the files are looked at again."""
        if marked_df is None and not self._tables.exists(BAD):
            return
        parts = []
        if marked_df is not None:
            bad_df = marked_df.where(F.col(DEFECT).isNotNull())
            columns = [F.col(FILE).alias("file"), F.col(DEFECT).alias("reason"), F.col(RAW).alias("row")]
            parts.append(bad_df.select(F.lit(source.name).alias("source"), *columns))
        if self._tables.exists(BAD):
            here_df = self._tables.read(BAD).where(F.col("source") == source.name)
            parts.append(here_df.where(~F.col("file").isin(sorted(stale))))
        bad_df = parts[0] if len(parts) == 1 else parts[0].unionByName(parts[1])
        self._tables.replace_where(BAD, bad_df, f"source = '{source.name}'", ["source"])


def is_any_day(column: Column, days: Sequence[str]) -> Column:
    """Whether a date is one of these days: dates are compared, not their text, so that partitions can be pruned."""
    return column.isin([F.lit(day).cast("date") for day in days])


def _looked_at(marked_df: DataFrame, source: Source, states: Mapping[str, _State]) -> DataFrame:
    """The rows of `TABLE` and `bad` for all files that were read; a file without rows has one too."""
    spark = marked_df.sparkSession
    good = F.col(DEFECT).isNull()
    day = F.when(good, F.to_date("_time")).alias("day")
    grouped_df = marked_df.groupBy(F.col(FILE).alias("file"), day).agg(
        F.count_if(good).alias("rows"),
        F.count_if(~good).alias("bad"),
        # Added up modulo 2^64, in whatever order: Spark's sums of longs wrap around.
        F.coalesce(F.sum(F.when(good, _hash(marked_df, source))), F.lit(0)).cast("long").alias("hash"),
        F.min(F.when(good, F.col("_time"))).alias("first"),
        F.max(F.when(good, F.col("_time"))).alias("last"),
    )
    listed = [(name, state.bytes, state.modified, state.reading) for name, state in sorted(states.items())]
    listed_df = spark.createDataFrame(listed, "file string, bytes long, modified long, reading string")
    joined_df = listed_df.join(grouped_df, "file", "left")
    numbers = [F.coalesce(name, F.lit(0)).cast("long").alias(name) for name in ("rows", "hash", "bad")]
    return joined_df.select(F.lit(source.name).alias("source"), "file", *_STATE, "day", "first", "last", *numbers)


def _hash(marked_df: DataFrame, source: Source) -> Column:
    """Of all that a row's partial aggregates are made of."""
    names = {rule.column for rule in source.rules} | {rule.weight for rule in source.rules}
    columns = [_hashable(marked_df, name) for name in sorted(name for name in names if name)]
    return F.xxhash64(F.lit(source.name), "_entity", "_time", *columns)


def _hashable(marked_df: DataFrame, name: str) -> Column:
    """xxhash64 takes no maps, so they, and whatever might hold one, go as text."""
    simple = not isinstance(type_of(marked_df, name), T.MapType | T.ArrayType | T.StructType)
    column = F.col(quoted(name))
    # Null and blank are not the same: xxhash64 skips nulls, so their place is said.
    return F.coalesce(column.cast("string") if simple else F.to_json(F.struct(column)), F.lit("\0"))


def _listed(config: Config, spark: SparkSession, source: Source, reading: str) -> dict[str, _State]:
    """The files of a source by their names in `_file`. Raises UserError for what is no file."""
    table_df = read_table(config, source)
    names = table_df.inputFiles()
    jvm = spark._jvm
    assert jvm is not None
    path_class, uri_class = jvm.org.apache.hadoop.fs.Path, jvm.java.net.URI
    found = {}
    for name in names:
        # Delta names files as they are, other formats with what is special in a URI encoded.
        path = path_class(name if source.format == "delta" else uri_class(name))
        try:
            status = path.getFileSystem(spark._jsc.hadoopConfiguration()).getFileStatus(path)
        except Exception as error:  # of whatever file system
            raise UserError(f"source {source.name}: file {name} cannot be looked at: {error}") from None
        found[path_class(path.toString()).toUri().toString()] = _State(
            status.getLen(), status.getModificationTime(), reading
        )
    return found
