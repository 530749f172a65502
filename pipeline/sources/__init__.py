"""Reading what users bring: tables of any schema, checked; bad rows marked with what is wrong with them.

    files.py     open Parquet, CSV, JSON or Delta; malformed records are kept as such
    columns.py   declared columns: are they there, of which type, as text
    joins.py     columns looked up in other tables
    marks.py     rows typed, with `_entity`, `_time`, and `_defect` for bad ones
    databases.py tables of a database, and walks along its foreign keys
    graphs.py    nodes and edges of a graph
    facts.py     facts `p(a, b)`
    jdbc.py      tables copied from a database server
    rows.py      the rows of a source, whatever form it comes in

A source's rows come with two columns besides their own: `_entity` (string) and `_time` (timestamp in UTC; null for
a static source).
"""

from pipeline.sources.columns import check_columns, quoted
from pipeline.sources.files import CORRUPT, read_table
from pipeline.sources.marks import DEFECT, FILE, NAIVE, RAW, bad_rows, good_rows
from pipeline.sources.rows import read_marked, read_source

__all__ = [
    "CORRUPT",
    "DEFECT",
    "FILE",
    "NAIVE",
    "RAW",
    "bad_rows",
    "check_columns",
    "good_rows",
    "quoted",
    "read_marked",
    "read_source",
    "read_table",
]
