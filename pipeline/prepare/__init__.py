"""Raw formats that Spark cannot read by itself, made into events first."""

from __future__ import annotations

import logging
import time

from pipeline import summary
from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.prepare import a9a, adult, ml1m
from pipeline.prepare.events import Adapter, write_events
from pipeline.quarantine import Quarantine

logger = logging.getLogger(__name__)

ADAPTERS: dict[str, Adapter] = {"adult": adult.ADAPTER, "a9a": a9a.ADAPTER}


def run(config: Config) -> None:
    """Make the files of `prepare.dataset` under {data} into `{workdir}/events/<dataset>.parquet`.

    Malformed lines go to the quarantine table. Does nothing for dataset none.
    Raises UserError naming the path where a file is missing or holds no row.
    """
    if config.prepare.dataset == "none":
        logger.info("nothing to prepare")
        return
    began = time.monotonic()
    layout = Layout.of(config)
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
    facts = {
        "dataset": config.prepare.dataset,
        "path": str(written.path),
        "rows": written.rows,
        "quarantined": len(written.bad),
        "seconds": round(time.monotonic() - began, 3),
    }
    summary.write(layout, "prepare", facts)
