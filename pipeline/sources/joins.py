"""Columns looked up in another table, such as the genres of the movie that an event names."""

from __future__ import annotations

import logging

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.sources import Join, Source
from pipeline.errors import UserError
from pipeline.sources.columns import as_text, check_columns, quoted, type_of, whole
from pipeline.sources.files import CORRUPT, name_of, read_table

logger = logging.getLogger(__name__)
_KEY = "_join_key"


def with_joins(config: Config, source: Source, rows_df: DataFrame) -> DataFrame:
    """The rows with the columns of the source's joined tables, null where a table does not have a row's key.

    Keys are compared as text. Raises UserError for a key that is not a column of both, a key that stands in the
    table twice (events would be doubled) and a column that the rows have already.
    """
    for join in source.join:
        what = f"{name_of(source)}, join {join.path}"
        check_columns(rows_df, {join.key: "key"}, name_of(source))
        looked_up_df = _by_key(config, join, what)
        twice = sorted(set(looked_up_df.columns) & set(rows_df.columns))
        if twice:
            raise UserError(f"{what}: the source has a column {', '.join(twice)} already; use the join's rename")
        key = as_text(F.col(quoted(join.key)), type_of(rows_df, join.key))
        rows_df = rows_df.join(F.broadcast(looked_up_df), key == F.col(_KEY), "left").drop(_KEY)
    return rows_df


def _by_key(config: Config, join: Join, what: str) -> DataFrame:
    """The table's other columns, and its key as text."""
    table_df = read_table(config, join)
    check_columns(table_df, {join.key: "key"}, what)
    key = as_text(F.col(quoted(join.key)), type_of(table_df, join.key))
    good = key.isNotNull() & (F.col(CORRUPT).isNull() if CORRUPT in table_df.columns else F.lit(True))
    bad = table_df.where(~good).count()
    if bad:
        logger.warning("%s: %d malformed rows are left out", what, bad)
    others = [name for name in table_df.columns if name not in (join.key, CORRUPT)]
    good_df = table_df.where(good).select(key.alias(_KEY), *(whole(name) for name in others))
    doubled = good_df.groupBy(_KEY).count().where("count > 1").orderBy(_KEY).first()
    if doubled is not None:
        raise UserError(
            f"{what}: {join.key} {doubled[_KEY]!r} stands in it {doubled['count']} times, so events would double"
        )
    return good_df
