"""The Spark job: blocks of entities -> Parquet files under {workdir}/events, replaced whole.

A task writes the files of a run of blocks and returns what it counted. What a file holds, and its name, depend on
the block numbers alone, so a retried or speculative task writes the same bytes; the driver puts the folder in place.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import functions as F
from tqdm import tqdm

from pipeline import summary
from pipeline.config import Config
from pipeline.config.learning import Simulate
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.session import get_session
from pipeline.simulate.block import generate_block
from pipeline.simulate.events import block_tables, knowledge_base
from pipeline.simulate.files import open_staging, put_in_place, write_file
from pipeline.simulate.funnel_job import run_funnel
from pipeline.simulate.oracle import BINS, histogram, oracle_auc
from pipeline.simulate.world import World, build_world

logger = logging.getLogger(__name__)

_MOST_BLOCKS_A_FILE = 32
_PARTS_WANTED = 8
_RESULT = "part long, entities long, events long, histogram binary"


def run(config: Config) -> None:
    """Write {workdir}/events/{content,mobile,ads,finance,profile,knowledge_base,labels,truth} and oracle.json.

    With a section `funnel` its impressions are written instead (funnel_job.py).
    Raises UserError where there is nothing to simulate, no cutoff, or the folder cannot be written.
    """
    if config.funnel is not None:
        run_funnel(config, config.funnel)
        return
    settings = config.simulate
    if settings is None:
        raise UserError("nothing to simulate: add a section simulate: {entities: 20000} to the configuration")
    if config.unfold.cutoff is None:
        raise UserError("unfold.cutoff is missing: simulated events are placed around it; set it to a date")
    started = time.monotonic()
    root = (Layout.of(config).workdir / "events").absolute()
    staging = open_staging(root)
    world = world_of(settings)
    cutoff = int(datetime.fromisoformat(config.unfold.cutoff).replace(tzinfo=UTC).timestamp()) * 1_000_000
    counts, facts = _write_blocks(config, settings, world, cutoff, staging)
    write_file(knowledge_base(world), staging / "knowledge_base" / "part-00000.parquet")
    _write_oracle(world, counts, staging)
    put_in_place(staging, root)
    seconds = time.monotonic() - started
    summary.write(Layout.of(config), "simulate", {**facts, "seed": settings.seed, "seconds": seconds})
    logger.info("simulated %(entities)d entities, %(events)d events", facts)


def world_of(settings: Simulate) -> World:
    """The world of a configuration."""
    return build_world(settings.seed, settings.entities, settings.events_per_entity, settings.niche_positives)


def blocks_per_file(blocks: int) -> int:
    """By the size alone, so that files do not depend on how many machines write them."""
    return max(1, min(_MOST_BLOCKS_A_FILE, blocks // _PARTS_WANTED))


def _write_blocks(
    config: Config, settings: Simulate, world: World, cutoff: int, staging: Path
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Histograms for the oracle, summed over parts, and the numbers of entities and events."""
    blocks = -(-settings.entities // settings.block)
    per_file = blocks_per_file(blocks)
    parts = -(-blocks // per_file)
    size, entities, folder = settings.block, settings.entities, str(staging)

    def write_parts(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for part in batch.column(0).to_pylist():
                numbers = range(part * per_file, min(blocks, (part + 1) * per_file))
                yield _write_part(world, part, numbers, size, entities, cutoff, folder)

    spark = get_session(config)
    parts_df = spark.range(0, parts, 1, parts).select(F.col("id").alias("part"))
    segments = len(world.segments.names)
    counts = np.zeros((2, segments, BINS), dtype=np.int64)
    facts = {"entities": 0, "events": 0, "segments": segments}
    written_df = parts_df.mapInArrow(write_parts, _RESULT)
    rows = written_df.toLocalIterator() if parts > 4 * _PARTS_WANTED else iter(written_df.collect())
    for row in tqdm(rows, total=parts, desc="simulate", unit="part", disable=None):
        counts += np.frombuffer(row["histogram"], dtype=np.int64).reshape(counts.shape)
        facts["entities"] += row["entities"]
        facts["events"] += row["events"]
    return counts, facts


def _write_part(
    world: World, part: int, numbers: range, size: int, entities: int, cutoff: int, folder: str
) -> pa.RecordBatch:
    """Write the files of some blocks; one row of `_RESULT`."""
    counts = np.zeros((2, len(world.segments.names), BINS), dtype=np.int64)
    tables: dict[str, list[pa.Table]] = {}
    known = 0
    for number in numbers:
        block = generate_block(world, number, size)
        here = min(size, entities - block.first)
        known += here
        counts += histogram(block.probabilities[:here], block.labels[:here])
        for name, table in block_tables(world, block, entities, cutoff).items():
            tables.setdefault(name, []).append(table)
    whole = {name: pa.concat_tables(pieces) for name, pieces in tables.items()}
    for name, table in whole.items():
        write_file(table, Path(folder) / name / f"part-{part:05d}.parquet")
    events = sum(whole[name].num_rows for name in ("content", "mobile", "ads", "finance"))
    return pa.RecordBatch.from_pydict(
        {"part": [part], "entities": [known], "events": [events], "histogram": [counts.tobytes()]}
    )


def _write_oracle(world: World, counts: NDArray[np.int64], folder: Path) -> None:
    """oracle.json: for each segment its best possible AUC and its share of positives among all entities."""
    positives, total = counts[1].sum(axis=1), counts.sum(axis=(0, 2))
    segments = [
        {"name": name, "auc": None if np.isnan(auc) else float(auc), "positives": int(n), "prevalence": float(n / all_)}
        for name, auc, n, all_ in zip(world.segments.names, oracle_auc(counts), positives, total, strict=True)
    ]
    (folder / "oracle.json").write_text(json.dumps({"segments": segments}, indent=1) + "\n", encoding="utf-8")
