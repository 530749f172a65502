"""What is brought in first: raw formats that Spark cannot read by itself, and tables of database servers."""

from __future__ import annotations

import logging
import time
from typing import Any

from pipeline import summary
from pipeline.config import Config
from pipeline.environment import needs_jdbc
from pipeline.layout import Layout
from pipeline.prepare import a9a, adult, ml1m
from pipeline.prepare.events import Adapter, write_events
from pipeline.quarantine import Quarantine
from pipeline.sources.jdbc import copy_tables

logger = logging.getLogger(__name__)

ADAPTERS: dict[str, Adapter] = {"adult": adult.ADAPTER, "a9a": a9a.ADAPTER}


def is_needed(config: Config) -> bool:
    """Whether a run has anything to prepare."""
    return config.prepare.dataset != "none" or needs_jdbc(config)


def run(config: Config) -> None:
    """Make the files of `prepare.dataset` under {data} into `{workdir}/events/<dataset>.parquet`, and copy the tables
    that are reached by JDBC into the table catalogue.

    Malformed lines go to the quarantine table. Does nothing where there is nothing of both.
    Raises UserError naming the path where a file is missing or holds no row, and what a database server says.
    """
    if not is_needed(config):
        logger.info("nothing to prepare")
        return
    began = time.monotonic()
    layout = Layout.of(config)
    facts: dict[str, Any] = {}
    if config.prepare.dataset != "none":
        facts |= _make_events(config, layout)
    if needs_jdbc(config):
        facts["copied"] = copy_tables(config)
    facts["seconds"] = round(time.monotonic() - began, 3)
    summary.write(layout, "prepare", facts)


def _make_events(config: Config, layout: Layout) -> dict[str, Any]:
    events = layout.workdir / "events"
    if config.prepare.dataset == "ml1m":
        written = ml1m.write_pairs(layout.data, events, config.prepare.pairs)
    else:
        written = write_events(ADAPTERS[config.prepare.dataset], layout.data, events)
    Quarantine(config, "prepare").replace(written.bad)
    for name, bad in written.bad_lines.items():
        if bad:
            logger.warning("%s: %d malformed lines went to the quarantine", name, bad)
    logger.info("%d events in %s", written.rows, written.path)
    return {
        "dataset": config.prepare.dataset,
        "path": str(written.path),
        "rows": written.rows,
        "quarantined": len(written.bad),
    }
