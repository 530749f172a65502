"""The rows of a source, whatever form it comes in."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.forms import FactSource, NodeSource, WalkSource
from pipeline.config.sources import Source
from pipeline.sources.columns import check_columns
from pipeline.sources.databases import walk_rows
from pipeline.sources.facts import fact_entities
from pipeline.sources.files import name_of, read_table
from pipeline.sources.graphs import node_entities
from pipeline.sources.joins import with_joins
from pipeline.sources.marks import FILE, declared, good_rows, marked, text_column


def read_marked(config: Config, source: Source, with_file: bool = False) -> DataFrame:
    """All rows of a source with `_entity`, `_time`, `_defect` (null for good rows) and `_raw`, before any window.
    with_file: also `_file`, the URI of the file that a row stands in.

    A row is bad where its record is malformed, its entity is missing, its time is missing or no time, or a value
    does not convert to its declared type (`types`; a finite number for number rules and weights). Rows that `where`
    leaves out are neither good nor bad. Raises UserError for a missing path, a declared column that is not there
    (naming those that are), a type or condition that Spark cannot resolve.
    """
    what = name_of(source)
    opened_df = _opened(config, source)
    if with_file:
        opened_df = opened_df.select("*", F.col("_metadata.file_path").alias(FILE))
    rows_df = with_joins(config, source, opened_df)
    check_columns(rows_df, declared(source), what)
    entity = text_column(rows_df, source.entity, f"{what}: entity")
    own = [name for name in rows_df.columns if name != FILE]
    return marked(rows_df, source, entity, {"entity is missing": entity.isNull()}, own)


def read_source(config: Config, source: Source) -> DataFrame:
    """The good rows of a source: its columns, `_entity` and `_time`."""
    return good_rows(read_marked(config, source))


def _opened(config: Config, source: Source) -> DataFrame:
    match source:
        case WalkSource():
            return walk_rows(config, source)
        case NodeSource():
            return node_entities(config, source)
        case FactSource():
            return fact_entities(config, source)
        case _:
            return read_table(config, source)
