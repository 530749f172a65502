"""Reading shards, side by side: ours through pyarrow and petastorm, raw pyarrow, stock petastorm.

    python -m benchmarks.reading [--rows 131072] [--rounds 7]

Raw pyarrow reads the same four columns of the same files and decodes nothing, with its default settings (threads and
allocator), against which the ratios are, and with one thread and with the allocator that our reader sets; ours gives
batches of tensors, shuffled. CPU seconds are those of the whole process, kernel included.
Stock petastorm refuses ragged list columns, so it gets what it can read: the same data with every row cut or filled
to exactly 100 concepts, as list columns; and the binary columns as they are, undecoded.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline.shards.batches import epoch_batches
from pipeline.shards.codec import FLOAT, INT, RAGGED, Rows
from pipeline.shards.dataset import ShardSet, open_folder
from pipeline.shards.readers import ReaderName
from pipeline.shards.writer import TaskSpec, write_shards

VOCABULARY = 20_000
CONCEPTS = 100
TASKS = 68
_ATTEMPTS = 5  # stock petastorm sometimes ends before it has read anything (see pipeline/shards/readers.py)
RAW = "raw pyarrow, not decoded"


@dataclass(frozen=True, slots=True)
class Way:
    """A way to read all rows, and whether Arrow's default allocator serves it (else the one that our reader sets)."""

    read: Callable[[], int]
    arrows_allocator: bool = False


def make_rows(count: int) -> Rows:
    """Rows of about 100 concepts with a long tail, each with a label for every task."""
    rng = np.random.default_rng(0)
    lengths = rng.poisson(CONCEPTS, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.minimum(rng.pareto(1.0, offsets[-1]) * 50, VOCABULARY - 1).astype(INT)
    row = np.repeat(np.arange(count), lengths)
    return Rows(
        concept_ids=ids[np.lexsort((ids, row))],
        concept_weights=np.log1p(1 + rng.poisson(1.0, offsets[-1])).astype(FLOAT),
        concept_offsets=offsets,
        task_ids=np.tile(np.arange(TASKS, dtype=INT), count),
        labels=(rng.random(count * TASKS) < 0.05).astype(FLOAT),
        pair_offsets=np.arange(count + 1) * TASKS,
    )


def write_lists(rows: Rows, path: Path) -> None:
    """The same data as list columns of one length, which stock petastorm can read."""
    size = len(rows) * CONCEPTS
    ids = pa.FixedSizeListArray.from_arrays(np.resize(rows.concept_ids, size), CONCEPTS).cast(pa.list_(pa.int32()))
    weights = pa.FixedSizeListArray.from_arrays(np.resize(rows.concept_weights, size), CONCEPTS)
    tasks = pa.FixedSizeListArray.from_arrays(rows.task_ids, TASKS).cast(pa.list_(pa.int32()))
    labels = pa.FixedSizeListArray.from_arrays(rows.labels, TASKS).cast(pa.list_(pa.float32()))
    table = pa.table([ids, weights.cast(pa.list_(pa.float32())), tasks, labels], names=list(RAGGED))
    pq.write_table(table, path, compression="zstd", row_group_size=8192)


def read_ours(shards: ShardSet, reader: ReaderName, lanes: int, batch_size: int) -> int:
    steps = epoch_batches(shards, "support", seed=0, epoch=0, batch_size=batch_size, lanes=lanes, reader=reader)
    return sum(part.batch.rows for step in steps for part in step)


def read_raw(shards: ShardSet, threads: bool = True) -> int:
    rows = 0
    for file in shards.manifest.splits["support"].files:
        with pq.ParquetFile(shards.folder / file.path) as opened:
            for group in range(opened.num_row_groups):
                rows += opened.read_row_group(group, columns=list(RAGGED), use_threads=threads).num_rows
    return rows


def read_stock(paths: list[Path]) -> int:
    from petastorm import make_batch_reader

    rows = 0
    urls = [path.absolute().as_uri() for path in paths]
    reader = make_batch_reader(urls, schema_fields=list(RAGGED), workers_count=os.cpu_count() or 1)
    try:
        for columns in reader:
            rows += len(columns.concept_ids)
    finally:
        reader.stop()
        reader.join()
    return rows


def arrows_allocator() -> pa.MemoryPool:
    """What Arrow takes on Linux where nobody asks for another."""
    return pa.jemalloc_memory_pool() if "jemalloc" in pa.supported_memory_backends() else pa.system_memory_pool()


def measure(ways: dict[str, Way], rows: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(seconds, CPU seconds) of each way in each round; every round runs all of them, in turn."""
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    ours = pa.default_memory_pool()
    for round_number in range(rounds + 1):
        for name, way in ways.items():
            pa.set_memory_pool(arrows_allocator() if way.arrows_allocator else ours)
            for _ in range(_ATTEMPTS):
                start, cpu = time.perf_counter(), time.process_time()
                if way.read() == rows:
                    break
            else:
                raise AssertionError(f"{name} does not give {rows} rows")
            if round_number:
                costs[name].append((time.perf_counter() - start, time.process_time() - cpu))
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=131_072)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--lanes", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=1024)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        rows = make_rows(options.rows)
        ids = [f"user-{row}" for row in range(options.rows)]
        concepts = [f"events.item={concept}" for concept in range(VOCABULARY)]
        tasks = [TaskSpec(name=f"segment_{task}") for task in range(TASKS)]
        shards = open_folder(write_shards(Path(scratch) / "shards", tasks, concepts, {"support": (ids, rows)}))
        files = [shards.folder / file.path for file in shards.manifest.splits["support"].files]
        lists = Path(scratch) / "lists.parquet"
        write_lists(rows, lists)
        lanes, size = options.lanes, options.batch_size
        ways = {
            RAW: Way(lambda: read_raw(shards), arrows_allocator=True),
            "raw pyarrow, one thread": Way(lambda: read_raw(shards, threads=False), arrows_allocator=True),
            "raw pyarrow, one thread, our allocator": Way(lambda: read_raw(shards, threads=False)),
            "ours through pyarrow": Way(lambda: read_ours(shards, "pyarrow", lanes, size)),
            "ours through petastorm": Way(lambda: read_ours(shards, "petastorm", lanes, size)),
            "stock petastorm, binary columns, not decoded": Way(lambda: read_stock(files), arrows_allocator=True),
            "stock petastorm, list columns of one length": Way(lambda: read_stock([lists]), arrows_allocator=True),
        }
        costs = measure(ways, options.rows, options.rounds)
    sys.stdout.write(
        f"{options.rows:,} rows of {CONCEPTS} concepts and {TASKS} tasks, batches of {options.batch_size}, "
        f"{options.lanes} lanes, medians of {options.rounds} rounds; {os.cpu_count()} cores, "
        f"pyarrow threads {pa.cpu_count()}, torch threads {torch.get_num_threads()}\n\n"
        "| way | rows/s | against raw pyarrow | CPU s | raw pyarrow's CPU s / its |\n|---|---:|---:|---:|---:|\n"
    )
    for name, of_way in costs.items():
        ratios = [[base[i] / mine[i] for base, mine in zip(costs[RAW], of_way, strict=True)] for i in range(2)]
        seconds, cpu = (statistics.median(column) for column in zip(*of_way, strict=True))
        speed, work = map(statistics.median, ratios)
        sys.stdout.write(f"| {name} | {options.rows / seconds:,.0f} | {speed:.2f} | {cpu:.3f} | {work:.2f} |\n")


if __name__ == "__main__":
    main()
