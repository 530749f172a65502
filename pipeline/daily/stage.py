"""The daily stage: days that are new, asked for or late -> partial aggregates; then vectors at the cutoff."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame

from pipeline import summary
from pipeline.config import Config
from pipeline.daily import partials, runs
from pipeline.daily.day_rules import check_rules, dated_sources, day_rules, fingerprint_of
from pipeline.daily.days import DayInputs
from pipeline.daily.files import Events, Files
from pipeline.environment import check_writable
from pipeline.errors import UserError
from pipeline.faults import fault_point
from pipeline.layout import Layout
from pipeline.session import get_session
from pipeline.tables import Tables
from pipeline.unfold.knowledge import check_paths
from pipeline.unfold.stage import check_config, run_on
from pipeline.unfold.triples import read_triples

logger = logging.getLogger(__name__)

_DAYS_AT_ONCE = 31
"""So many days are unfolded by one job and written by one transaction."""


def run(config: Config, first: str | None = None, last: str | None = None, vectors: bool = True) -> None:
    """Unfold the days from `first` to `last` (both inclusive, UTC; none: those before the cutoff that never were), and
    days that got other events since they were; then, if `vectors`, put the vectors at the cutoff together.

    Every step may be stopped anywhere and run again. Raises UserError before any work for rules and windows that do
    not go by days, and before days are unfolded where those of the window would not fit together.
    """
    started = time.monotonic()
    _check(config, first, last)
    asked = None if first is None else runs.span(first, last or first)
    sources, record = dated_sources(config), runs.Runs(config)
    triples_df, bad_triples_df = read_triples(config) if config.has_knowledge else (None, None)
    check_paths(config, triples_df)
    if triples_df is not None:
        triples_df = triples_df.persist()
    try:
        rules = fingerprint_of(config, triples_df)
        if vectors:  # before new files are looked at by other rules
            before = record.read()
            runs.check_days(runs.days_of_window(config, {}, before), {}, before, asked or [], rules)
        files = Files(config, sources)
        read = files.refresh()
        fault_point("daily:after-files")
        known, done, of_gone = files.by_day(), record.read(), files.days_of_gone()
        settled = runs.settled_days(known, done, of_gone)
        files.forget(settled)
        of_gone -= settled
        days, late = runs.days_to_unfold(config, known, done, asked, of_gone)
        fewer = sorted(runs.days_that_lack(known, done, of_gone) - set(days))
        if fewer:
            logger.warning(
                "%d days lack events that they were unfolded with, and keep what they have: %s%s; --from and --to "
                "unfold them from what is there",
                *(len(fewer), ", ".join(fewer[:5]), ", …" if len(fewer) > 5 else ""),
            )
        needed = runs.days_of_window(config, known, done)
        if vectors:
            runs.check_days(needed, known, done, days, rules)
        for some in runs.chunks(days, _DAYS_AT_ONCE):
            _unfold(config, files, some, triples_df)
            record.write({day: known.get(day, Events(0, 0)) for day in some}, rules)
            files.forget(some)
            fault_point(f"daily:after-record:{some[-1]}")
        seconds = round(time.monotonic() - started, 1)
        facts = {"days": days, "late": late, "fewer": fewer, "files_read": read, "seconds": seconds}
        summary.write(Layout.of(config), "daily", facts)
        logger.info("unfolded %d days (%d late) from %d new files in %.1f s", len(days), len(late), read, seconds)
        if vectors:
            needed = runs.days_of_window(config, known, record.read())
            run_on(config, DayInputs(config, files, needed, triples_df, bad_triples_df))
    finally:
        if triples_df is not None:
            triples_df.unpersist()


def _check(config: Config, first: str | None, last: str | None) -> None:
    check_config(config)
    check_rules(config)
    runs.check_boundaries(config)
    if config.spark.tables != "delta":
        raise UserError("spark.tables is parquet: days are replaced in a table, which needs spark.tables: delta")
    if (first is None) != (last is None):
        raise UserError("--from and --to go together: both, or neither")
    check_writable(Layout.of(config).workdir)


def _unfold(config: Config, files: Files, days: Sequence[str], triples_df: DataFrame | None) -> None:
    """Write the partial aggregates of some days in place of what they had, by one transaction."""
    tables = Tables(config, get_session(config))
    parts = []
    for source in dated_sources(config):
        rows_df = files.rows_of(source, days)
        if rows_df is not None:
            parts.append(partials.day_partials(rows_df, day_rules(source), config.unfold, triples_df))
    none_df = get_session(config).createDataFrame([], partials.SCHEMA)
    rows_df = reduce(DataFrame.unionByName, parts, none_df)
    fault_point(f"daily:before-day:{days[-1]}")
    tables.replace_where(partials.TABLE, rows_df, runs.condition(days), ["day"])
    fault_point(f"daily:after-day:{days[-1]}")
