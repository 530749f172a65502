"""Reading what users bring: tables of any schema, checked; bad rows marked with what is wrong with them.

    files.py     open Parquet, CSV, JSON or Delta; malformed records are kept as such
    columns.py   declared columns: are they there, of which type, as text
    joins.py     columns looked up in other tables
    rows.py      the rows of a source: typed, with `_entity`, `_time`, and `_defect` for bad ones

A source's rows come with two columns besides their own: `_entity` (string) and `_time` (timestamp in UTC; null for
a static source).
"""

from pipeline.sources.columns import check_columns, quoted
from pipeline.sources.files import CORRUPT, read_table
from pipeline.sources.rows import DEFECT, FILE, RAW, bad_rows, good_rows, read_marked, read_source

__all__ = [
    "CORRUPT",
    "DEFECT",
    "FILE",
    "RAW",
    "bad_rows",
    "check_columns",
    "good_rows",
    "quoted",
    "read_marked",
    "read_source",
    "read_table",
]
