"""Ragged columns as bytes: one little-endian buffer a row, so that a column is one flat array and its row offsets.

    row            0         1      2
    concept_ids  [ 4 9 12 |  4  |  7 9 ]    → binary column [12 bytes, 4 bytes, 8 bytes]
                                            ← values [4 9 12 4 7 9], offsets [0 3 4 6]

Petastorm refuses ragged list columns, and Arrow builds list columns twice as slowly as binary ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

INT = np.dtype("<i4")
FLOAT = np.dtype("<f4")

ENTITY = "entity_id"
RAGGED: dict[str, np.dtype] = {"concept_ids": INT, "concept_weights": FLOAT, "task_ids": INT, "labels": FLOAT}
SCHEMA = pa.schema([(ENTITY, pa.string()), *((name, pa.binary()) for name in RAGGED)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Decoded rows.

    concept_ids [nnz] int32 and concept_weights [nnz] float32, ascending ids within a row, row r at
    concept_offsets[r] : concept_offsets[r + 1]; task_ids [pairs] int32 and labels [pairs] float32 likewise by
    pair_offsets. Offsets are int64, [rows + 1], and start at 0.
    """

    concept_ids: np.ndarray
    concept_weights: np.ndarray
    concept_offsets: np.ndarray
    task_ids: np.ndarray
    labels: np.ndarray
    pair_offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.concept_offsets) - 1

    def slice(self, start: int, stop: int) -> Rows:
        """Rows start..stop-1, as views."""
        first, last = self.concept_offsets[start], self.concept_offsets[stop]
        first_pair, last_pair = self.pair_offsets[start], self.pair_offsets[stop]
        return Rows(
            concept_ids=self.concept_ids[first:last],
            concept_weights=self.concept_weights[first:last],
            concept_offsets=self.concept_offsets[start : stop + 1] - first,
            task_ids=self.task_ids[first_pair:last_pair],
            labels=self.labels[first_pair:last_pair],
            pair_offsets=self.pair_offsets[start : stop + 1] - first_pair,
        )


def join_rows(parts: list[Rows]) -> Rows:
    """The rows of all parts, in order."""
    if len(parts) == 1:
        return parts[0]
    return Rows(
        concept_ids=np.concatenate([part.concept_ids for part in parts] or [np.empty(0, INT)]),
        concept_weights=np.concatenate([part.concept_weights for part in parts] or [np.empty(0, FLOAT)]),
        concept_offsets=_join_offsets([part.concept_offsets for part in parts]),
        task_ids=np.concatenate([part.task_ids for part in parts] or [np.empty(0, INT)]),
        labels=np.concatenate([part.labels for part in parts] or [np.empty(0, FLOAT)]),
        pair_offsets=_join_offsets([part.pair_offsets for part in parts]),
    )


def pack(values: np.ndarray, offsets: np.ndarray) -> pa.BinaryArray:
    """Flat 4-byte values [n] and row offsets [rows + 1] as a binary array, without copying the values."""
    if values.dtype.itemsize != 4 or not values.flags.c_contiguous:
        raise ValueError("pack takes contiguous 4-byte values")
    in_bytes = np.ascontiguousarray(offsets * 4, dtype="<i4")
    buffers = [None, pa.py_buffer(in_bytes), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def unpack(column: pa.Array, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """A binary array as (values [n], offsets [rows + 1] int64): views where the column is not sliced.

    Raises ValueError for nulls or byte counts that are no multiple of 4.
    """
    if column.null_count:
        raise ValueError("a shard column holds nulls")
    offsets = np.zeros(1, np.int64)
    if len(column) == 0:
        return np.empty(0, dtype), offsets
    _, offset_buffer, data = column.buffers()
    ends = np.frombuffer(offset_buffer, "<i4", len(column) + 1, column.offset * 4)
    if ((ends - ends[0]) & 3).any():
        raise ValueError("a shard column holds a value that is no whole number of 4-byte entries")
    count = int(ends[-1] - ends[0]) // 4
    values = np.frombuffer(data, dtype, count, int(ends[0])) if count else np.empty(0, dtype)
    return values, (ends.astype(np.int64) - ends[0]) >> 2


def take(column: pa.Array, order: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """As many rows as the column has or fewer, those at these places in this order, unpacked."""
    values, offsets = unpack(column, dtype)
    if rows_alike(values, offsets):  # any order of them is the same: nothing is moved
        return values[: offsets[len(order)]], offsets[: len(order) + 1]
    return unpack(column.take(pa.array(order)), dtype)


def rows_alike(values: np.ndarray, offsets: np.ndarray) -> bool:
    """Whether all rows hold the same values, as task ids do where every row is labelled for every task."""
    width = int(offsets[1]) if len(offsets) > 1 else 0
    if not (np.diff(offsets) == width).all() or not np.array_equal(values[:width], values[-width:]):
        return False
    return np.array_equal(values[width:], values[:-width]) if width else True


def pack_lists(column: pa.ListArray, dtype: np.dtype) -> pa.BinaryArray:
    """An Arrow list column (int32 or float32 elements, no nulls) as a binary one, working on the flat arrays."""
    if column.null_count or column.values.null_count:
        raise ValueError("a list column to be packed holds nulls")
    offsets = column.offsets.to_numpy().astype(np.int64)
    values = column.values.to_numpy()[offsets[0] : offsets[-1]]
    return pack(np.ascontiguousarray(values, dtype), offsets - offsets[0])


def to_table(rows: Rows, entity_ids: list[str]) -> pa.Table:
    """Rows as the Parquet columns of a shard."""
    return pa.table(
        [
            pa.array(entity_ids, pa.string()),
            pack(rows.concept_ids.astype(INT), rows.concept_offsets),
            pack(rows.concept_weights.astype(FLOAT), rows.concept_offsets),
            pack(rows.task_ids.astype(INT), rows.pair_offsets),
            pack(rows.labels.astype(FLOAT), rows.pair_offsets),
        ],
        schema=SCHEMA,
    )


def rows_of(columns: dict[str, tuple[np.ndarray, np.ndarray]]) -> Rows:
    """Rows from unpacked columns. Raises ValueError when ids and weights, or tasks and labels, do not fit."""
    concept_ids, concept_offsets = columns["concept_ids"]
    concept_weights, weight_offsets = columns["concept_weights"]
    task_ids, pair_offsets = columns["task_ids"]
    labels, label_offsets = columns["labels"]
    if not (np.array_equal(concept_offsets, weight_offsets) and np.array_equal(pair_offsets, label_offsets)):
        raise ValueError("a shard row's ids and weights, or its tasks and labels, differ in number")
    return Rows(
        concept_ids=concept_ids,
        concept_weights=concept_weights,
        concept_offsets=concept_offsets,
        task_ids=task_ids,
        labels=labels,
        pair_offsets=pair_offsets,
    )


def _join_offsets(parts: list[np.ndarray]) -> np.ndarray:
    lengths = np.concatenate([np.diff(part) for part in parts] or [np.empty(0, np.int64)])
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
