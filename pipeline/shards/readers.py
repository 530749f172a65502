"""Row groups of shard files, through pyarrow or petastorm: the same rows either way.

Petastorm is imported only here, and only when asked for: the day it goes, one class goes with it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.shards.codec import ENTITY, RAGGED, Rows, rows_of, unpack, unpack_bytes

ReaderName = Literal["petastorm", "pyarrow"]


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
    """Reads with petastorm's `make_batch_reader`, which gives one bytes object a row and column."""

    def read(self, path: Path, groups: Sequence[int], *, entities: bool = False) -> Iterator[RowGroup]:
        from petastorm import make_batch_reader

        warnings.filterwarnings("ignore", category=FutureWarning, module="petastorm")
        names = [ENTITY, *RAGGED] if entities else list(RAGGED)
        reader = make_batch_reader(
            path.absolute().as_uri(),
            schema_fields=[f"^{name}$" for name in names],
            reader_pool_type="dummy",
            shuffle_row_groups=False,
        )
        try:
            # Petastorm has no way to start at a row group: those before it are read, but not decoded.
            wanted = set(groups)
            for group, columns in enumerate(islice(reader, groups[-1] + 1)):
                if group in wanted:
                    yield _BytesGroup(columns._asdict())
        finally:
            # Not `with reader`: its exit prints.
            reader.stop()
            reader.join()


class _ArrowGroup:
    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def take(self, order: np.ndarray | None = None) -> Rows:
        table = self._table
        if order is not None:
            table = table.select(list(RAGGED)).take(pa.array(order))
        return rows_of({name: unpack(_one_chunk(table.column(name)), dtype) for name, dtype in RAGGED.items()})

    def entity_ids(self) -> list[str]:
        return self._table.column(ENTITY).to_pylist()


class _BytesGroup:
    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        self._columns = columns

    def take(self, order: np.ndarray | None = None) -> Rows:
        def chosen(name: str) -> list[bytes]:
            column = self._columns[name]
            return list(column if order is None else column[order])

        return rows_of({name: unpack_bytes(chosen(name), dtype) for name, dtype in RAGGED.items()})

    def entity_ids(self) -> list[str]:
        return [str(entity) for entity in self._columns[ENTITY]]


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
