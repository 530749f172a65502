"""Row groups of shard files, through pyarrow or petastorm: the same rows either way.

Petastorm is imported only here, and only when asked for: the day it goes, one class goes with it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.shards.codec import ENTITY, RAGGED, Rows, rows_of, take, unpack

ReaderName = Literal["petastorm", "pyarrow"]

# Arrow's default allocator hands the memory of a row group back to the system when it is freed: the next one then
# pays a page fault for every 4 KiB, which is a third of all that reading costs. Who names an allocator keeps it.
if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ and "mimalloc" in pa.supported_memory_backends():
    pa.set_memory_pool(pa.mimalloc_memory_pool())


class RowGroup(Protocol):
    """The rows of a row group, not yet decoded."""

    def take(self, order: np.ndarray | None = None) -> Rows:
        """The rows at these places, in this order; None: all, as they stand."""

    def entity_ids(self) -> list[str]:
        """Only where the reader was opened with entities."""


class ShardReader(Protocol):
    """A way to read row groups."""

    def read(self, path: Path, groups: Sequence[int], *, entities: bool = False) -> Iterator[RowGroup]:
        """These row groups of a file (ascending), one after the other."""


def get_reader(name: ReaderName) -> ShardReader:
    readers: dict[str, type[ShardReader]] = {"pyarrow": PyarrowReader, "petastorm": PetastormReader}
    if name not in readers:
        raise ValueError(f"no reader {name!r}; there are: {', '.join(readers)}")
    return readers[name]()


class PyarrowReader:
    """Reads with pyarrow alone."""

    def read(self, path: Path, groups: Sequence[int], *, entities: bool = False) -> Iterator[RowGroup]:
        columns = [ENTITY, *RAGGED] if entities else list(RAGGED)
        # One thread a row group: lanes are read side by side, and four columns of unlike size share out badly.
        with pq.ParquetFile(path) as file:
            for group in groups:
                yield _ArrowGroup(file.read_row_group(group, columns=columns, use_threads=False))


class PetastormReader:
    """Reads with petastorm's Reader, set up as its `make_batch_reader` does, but for two things: it is given the row
    groups to read, and Arrow tables come through as they are instead of as one Python object a value.
    """

    def read(self, path: Path, groups: Sequence[int], *, entities: bool = False) -> Iterator[RowGroup]:
        reader = _petastorm_reader(path, groups, [ENTITY, *RAGGED] if entities else list(RAGGED))
        try:
            for table in reader:
                yield _ArrowGroup(table)
        finally:
            reader.stop()
            reader.join()


def _petastorm_reader(path: Path, groups: Sequence[int], columns: Sequence[str]) -> Any:
    from petastorm.arrow_reader_worker import ArrowReaderWorker
    from petastorm.fs_utils import get_filesystem_and_path_or_paths
    from petastorm.reader import Reader
    from petastorm.workers_pool import EmptyResultError
    from petastorm.workers_pool.thread_pool import ThreadPool

    warnings.filterwarnings("ignore", category=FutureWarning, module="petastorm")

    class Tables:
        batched_output = True

        def read_next(self, pool: Any, _schema: Any, _ngram: Any) -> pa.Table:
            # On a busy machine the pool may say that it is done before it has begun: it compares what was handed
            # out with what came back, and only then asks whether all was handed out. So it is asked twice.
            for _ in range(2):
                with suppress(EmptyResultError):
                    return pool.get_results()
            raise StopIteration

    class TableWorker(ArrowReaderWorker):
        @staticmethod
        def new_results_queue_reader() -> Tables:
            return Tables()

    class ChosenGroups(Reader):
        def _filter_row_groups(self, *_: Any) -> tuple[list[int], None]:
            return list(groups), None

    filesystem, dataset_path = get_filesystem_and_path_or_paths(path.absolute().as_uri())
    return ChosenGroups(
        filesystem,
        dataset_path,
        schema_fields=[f"^{name}$" for name in columns],
        worker_class=TableWorker,
        reader_pool=ThreadPool(1, results_queue_size=1),  # one thread: groups come in order
        shuffle_row_groups=False,
        is_batched_reader=True,
    )


class _ArrowGroup:
    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def take(self, order: np.ndarray | None = None) -> Rows:
        columns = {name: (_one_chunk(self._table.column(name)), dtype) for name, dtype in RAGGED.items()}
        if order is None:
            return rows_of({name: unpack(column, dtype) for name, (column, dtype) in columns.items()})
        return rows_of({name: take(column, order, dtype) for name, (column, dtype) in columns.items()})

    def entity_ids(self) -> list[str]:
        return self._table.column(ENTITY).to_pylist()


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
