"""The rows of a database's tables, checked, and the rows at the end of a walk along foreign keys.

Keys are compared as text, whatever their types: 7 of one table is '7' and 7.0 of another. A row with a key that its
table of reference does not have (a dangling foreign key) is bad; one with no key there refers to nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.forms import AT, ROOT, WalkSource, table_source
from pipeline.config.relational import Database, DatabaseTable
from pipeline.config.sources import Source
from pipeline.config.walks import Step, Walk, cycle_of, end_of, walks_of
from pipeline.errors import UserError
from pipeline.session import get_session
from pipeline.sources.columns import check_columns
from pipeline.sources.files import read_table, renamed
from pipeline.sources.marks import DEFECT, NAIVE, bad_rows, declared, good_rows, marked, text_column
from pipeline.tables import Tables

logger = logging.getLogger(__name__)
_ON = "_on"
"""The text of the key by which a step joins."""
_KEY, _ROW, _THERE = "_key", "_row_key", "_there_"


_shared: dict[tuple[str, str], DataFrame] | None = None
"""The checked tables while `shared_tables` lasts."""


@contextmanager
def shared_tables() -> Iterator[None]:
    """While it lasts tables are read and checked once, and held, however many walks pass them."""
    global _shared
    _shared = {}
    try:
        yield
    finally:
        for marked_df in _shared.values():
            marked_df.unpersist()
        _shared = None


def walk_rows(config: Config, source: WalkSource) -> DataFrame:
    """The columns of the walk's last table, `_root` (the entity) and `_at` (the latest time of the rows on the way,
    null where none has one), a row for each way to join them."""
    database = next(one for one in config.databases if one.name == source.database)
    rows_df = _walked(config, database, source.walk)
    return rows_df.drop(
        _KEY, *(_foreign(column) for column in database.table(end_of(database, source.walk)).foreign_keys)
    )


def check_databases(config: Config) -> tuple[list[DataFrame], dict[str, Any]]:
    """The bad rows (source, reason, row) of the tables that are walked through, and how many each table has.

    Raises UserError for what does not fit the configuration, for a key that stands in its table twice, and for a row
    through which more than `unfold.max_fanout` joins would go.
    """
    bad_dfs, facts = [], {}
    for database in config.databases:
        cycle = cycle_of(database)
        if cycle:
            way = " -> ".join([*cycle, cycle[0]])
            logger.info("database %s: %s is a cycle; walked to depth %d", database.name, way, database.depth)
        walks = walks_of(database)
        passed = {database.entity, *(step.table for walk in walks for step in walk)}
        for table in database.tables:
            if table.name not in passed:
                continue
            what = f"{database.name}.{table.name}"
            _check_key(config, database, table)
            marked_df = _marked(config, database, table)
            counts = {row[DEFECT]: row["count"] for row in marked_df.groupBy(DEFECT).count().collect()}
            facts[what] = {"rows": counts.pop(None, 0), "quarantined": counts}
            if counts:
                bad_dfs.append(bad_rows(marked_df, table_source(table, what)))
            for reason, count in sorted(counts.items()):
                if reason.endswith(NAIVE):
                    raise UserError(
                        f"table {what}: {table.time} of {count:,} rows {NAIVE}; set timezone: UTC, or the "
                        "zone that the times are of"
                    )
                logger.warning("table %s: %d rows go to the quarantine: %s", what, count, reason)
        _check_fanout(config, database, walks)
    return bad_dfs, facts


def _walked(config: Config, database: Database, walk: Walk) -> DataFrame:
    """`_root`, `_at`, `_key` (of the last row) and the columns of the last table."""
    entities_df = _rows(config, database, database.table(database.entity))
    start_df = entities_df.withColumn(ROOT, F.col(_KEY)).where(F.col(ROOT).isNotNull())
    return reduce(lambda rows_df, step: _stepped(config, database, rows_df, step), walk, start_df)


def _stepped(config: Config, database: Database, rows_df: DataFrame, step: Step) -> DataFrame:
    next_df = _rows(config, database, database.table(step.table)).withColumnRenamed(AT, "_next_at")
    ours, theirs = (_KEY, _foreign(step.column)) if step.down else (_foreign(step.column), _KEY)
    # Under names that no table has: both sides may be of one table.
    before_df = rows_df.select(ROOT, AT, F.col(ours).alias(_ON))
    joined_df = before_df.join(next_df, F.col(_ON) == F.col(theirs))
    return joined_df.withColumn(AT, F.greatest(AT, "_next_at")).drop(_ON, "_next_at")


def _rows(config: Config, database: Database, table: DatabaseTable) -> DataFrame:
    """The good rows of a table with `_key`, `_at` and the text of each foreign key."""
    rows_df = good_rows(_marked(config, database, table))
    return rows_df.withColumnsRenamed({"_entity": _KEY, "_time": AT})


def _marked(config: Config, database: Database, table: DatabaseTable) -> DataFrame:
    """The rows of a table as `read_marked` has those of a source; its key is `_entity`, foreign keys stand as text."""
    if _shared is None:
        return _checked(config, database, table)
    name = (database.name, table.name)
    if name not in _shared:
        _shared[name] = _checked(config, database, table).persist(StorageLevel.MEMORY_AND_DISK)
    return _shared[name]


def _checked(config: Config, database: Database, table: DatabaseTable) -> DataFrame:
    what = f"table {database.name}.{table.name}"
    source = table_source(table, f"{database.name}.{table.name}")
    rows_df = _read(config, database, table)
    check_columns(rows_df, _columns(table, source), what)
    wrong: dict[str, Column] = {}
    key = F.lit(None).cast("string")
    if table.key is not None:
        key = text_column(rows_df, table.key, f"{what}: key")
        wrong[f"{table.key} is missing"] = key.isNull()
    own = rows_df.columns
    foreign = {column: text_column(rows_df, column, f"{what}: foreign key {column}") for column in table.foreign_keys}
    rows_df = rows_df.withColumns({_ROW: key, **{_foreign(column): text for column, text in foreign.items()}})
    for number, (column, target) in enumerate(table.foreign_keys.items()):
        there = f"{_THERE}{number}"
        keys_df = _keys(config, database, database.table(target)).withColumnRenamed(_KEY, there)
        rows_df = rows_df.join(keys_df, F.col(_foreign(column)) == F.col(there), "left")
        wrong[f"{column} is not in {target}"] = F.col(_foreign(column)).isNotNull() & F.col(there).isNull()
    marked_df = marked(rows_df, source, F.col(_ROW), wrong, own)
    return marked_df.drop(_ROW, *(f"{_THERE}{number}" for number in range(len(table.foreign_keys))))


def _columns(table: DatabaseTable, source: Source) -> dict[str, str]:
    """Every column that the configuration names, and where."""
    key = {} if table.key is None else {table.key: "key"}
    return declared(source) | dict.fromkeys(table.foreign_keys, "foreign_keys") | key


def _keys(config: Config, database: Database, table: DatabaseTable) -> DataFrame:
    """Every key of a table, once; those of its bad rows too, so that one dangling key is one bad row."""
    rows_df = _read(config, database, table)
    what = f"table {database.name}.{table.name}"
    check_columns(rows_df, {table.key or "": "key"}, what)
    key = text_column(rows_df, table.key or "", f"{what}: key")
    return rows_df.select(key.alias(_KEY)).where(F.col(_KEY).isNotNull()).distinct()


def _read(config: Config, database: Database, table: DatabaseTable) -> DataFrame:
    if table.dbtable is None:
        return read_table(config, table)
    tables = Tables(config, get_session(config))
    return renamed(tables.read(copy_of(database, table), "the prepare"), table, f"table {database.name}.{table.name}")


def copy_of(database: Database, table: DatabaseTable) -> str:
    """The name, in the table catalogue, of what `prepare` copied from the database."""
    return f"copy_{database.name}_{table.name}"


def _foreign(column: str) -> str:
    return f"_to_{column}"


def _check_key(config: Config, database: Database, table: DatabaseTable) -> None:
    if table.key is None:
        return
    what = f"table {database.name}.{table.name}"
    rows_df = _read(config, database, table)
    check_columns(rows_df, {table.key: "key"}, what)
    key = text_column(rows_df, table.key, f"{what}: key")
    counted_df = rows_df.select(key.alias(_KEY)).where(F.col(_KEY).isNotNull()).groupBy(_KEY).count()
    doubled = counted_df.where("count > 1").orderBy(_KEY).first()
    if doubled is not None:
        raise UserError(
            f"{what}: key {table.key} {doubled[_KEY]!r} stands in it {doubled['count']} times, so joins would double "
            "rows; take the column that is the primary key"
        )


def _check_fanout(config: Config, database: Database, walks: list[Walk]) -> None:
    """Only a step down that comes after a step up can have more joins through a row than the tables have rows."""
    limit = config.unfold.max_fanout
    for before, step in _meetings(walks):
        arriving_df = _walked(config, database, before).groupBy(F.col(_KEY).alias("key")).agg(F.count("*").alias("n"))
        child_df = _rows(config, database, database.table(step.table))
        leaving_df = child_df.groupBy(F.col(_foreign(step.column)).alias("to")).agg(F.count("*").alias("m"))
        joined_df = arriving_df.join(leaving_df, F.col("key") == F.col("to"))
        load = F.col("n").cast("double") * F.col("m").cast("double")
        row = joined_df.select("key", load.alias("load")).orderBy(F.desc("load"), "key").first()
        if row is not None and row["load"] > limit:
            raise UserError(
                f"database {database.name}: {row['load']:,.0f} joins would go through {end_of(database, before)} "
                f"{row['key']!r} to {step.label}, more than unfold.max_fanout = {limit:,}; take a smaller depth, leave "
                "out the foreign key or the row (where), or raise the limit"
            )


def _meetings(walks: list[Walk]) -> Iterator[tuple[Walk, Step]]:
    """Every step down after a step up, with the walk before it; shorter walks first."""
    every = {(walk[:i], walk[i]): None for walk in walks for i in range(len(walk))}
    for before, step in sorted(every, key=lambda pair: len(pair[0])):
        if step.down and any(not one.down for one in before):
            yield before, step
