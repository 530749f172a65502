"""Shard files of exact row groups, and whole shard folders from numpy data (for tests and small data)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.task import TaskKind
from pipeline.generations import new_generation
from pipeline.shards import manifest as m
from pipeline.shards.codec import SCHEMA, Rows, to_table
from pipeline.vocabulary import hash_of_concepts

VOCABULARY_SCHEMA = pa.schema(
    [("concept_id", pa.int32()), ("concept", pa.string()), ("field_id", pa.int32()), ("entities", pa.int64())]
)
Splits = Mapping[str, tuple[Sequence[str], Rows]]
"""Split -> entity ids and rows."""
MASKS_SCHEMA = pa.schema([("task_id", pa.int32()), ("concept_id", pa.int32()), ("reason", pa.string())])


class PartWriter:
    """Writes tables of any size into one Parquet file of exact row groups, under a temporary name.

    The file gets its name in `close`, by one rename, so that a retried or speculative task replaces it with the
    same bytes and never leaves half a file. Used as a context manager: on an exception nothing is left.
    """

    def __init__(self, folder: Path, name: str, rows_per_group: int, schema: pa.Schema = SCHEMA) -> None:
        self._path = folder / name
        self._name = name
        self._rows_per_group = rows_per_group
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # No dictionaries and no statistics: they cost time and never help with opaque bytes.
        self._writer = pq.ParquetWriter(
            self._temporary, schema, compression="zstd", use_dictionary=False, write_statistics=False
        )
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._row_groups: list[int] = []

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._writer.close()
            self._temporary.unlink(missing_ok=True)

    def append(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        while self._waiting_rows >= self._rows_per_group:
            self._flush(self._rows_per_group)

    def close(self) -> m.FileEntry:
        """Finish the file and give its manifest entry."""
        if self._waiting_rows:
            self._flush(self._waiting_rows)
        self._writer.close()
        digest, size = m.file_sha256(self._temporary), self._temporary.stat().st_size
        os.replace(self._temporary, self._path)
        return m.FileEntry(
            path=self._name, rows=sum(self._row_groups), bytes=size, sha256=digest, row_groups=self._row_groups
        )

    def _flush(self, rows: int) -> None:
        waiting = pa.concat_tables(self._waiting)
        # One chunk, so that the bytes do not depend on how the rows came in.
        self._writer.write_table(waiting.slice(0, rows).combine_chunks(), row_group_size=rows)
        self._row_groups.append(rows)
        self._waiting = [waiting.slice(rows)]
        self._waiting_rows -= rows


def part_name(split: str, part: int) -> str:
    return f"{split}/part-{part:05d}.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A task as `write_shards` takes it; `mask` holds the concept ids that the task may not see."""

    name: str
    kind: TaskKind = "binary"
    classes: Sequence[str] = ()
    group: str = "mid"
    mask: Sequence[int] = field(default=())


def write_shards(
    root: Path,
    tasks: Sequence[TaskSpec],
    concepts: Sequence[str],
    splits: Splits,
    *,
    rows_per_group: int = 8192,
    rows_per_file: int = 262_144,
    generation: str = "generation",
) -> Path:
    """Write a shard folder under `root` (`layout.shards`) from numpy data and make it CURRENT; returns the folder.

    concepts: names by id, `source.rule=value`. splits: for each split its entity ids and rows, in the order in which
    they are to stand.
    """
    with new_generation(root, generation) as folder:
        fields, vocabulary = _vocabulary(concepts, splits)
        pq.write_table(vocabulary, folder / m.VOCABULARY)
        pq.write_table(_masks(tasks), folder / m.MASKS)
        entries = {
            split: _write_split(folder, split, *splits[split], rows_per_group, rows_per_file) for split in splits
        }
        m.write_manifest(
            folder,
            m.Manifest(
                schema_version=m.SCHEMA_VERSION,
                vocabulary_hash=hash_of_concepts(enumerate(concepts)),
                vocabulary_size=len(concepts),
                fields=fields,
                tasks=[_task_entry(task_id, task, splits) for task_id, task in enumerate(tasks)],
                splits=entries,
                checksums={name: m.file_sha256(folder / name) for name in (m.VOCABULARY, m.MASKS)},
            ),
        )
    return root / (root / "CURRENT").read_text(encoding="utf-8").strip()


def _vocabulary(
    concepts: Sequence[str], splits: Mapping[str, tuple[Sequence[str], Rows]]
) -> tuple[list[str], pa.Table]:
    names = [concept.partition("=")[0] for concept in concepts]
    fields = sorted(set(names))
    counts = sum((np.bincount(rows.concept_ids, minlength=len(concepts)) for _, rows in splits.values()), start=0)
    ids = np.arange(len(concepts), dtype=np.int32)
    columns = [ids, list(concepts), [fields.index(name) for name in names], counts]
    return fields, pa.table([pa.array(column) for column in columns], names=VOCABULARY_SCHEMA.names).cast(
        VOCABULARY_SCHEMA
    )


def _masks(tasks: Sequence[TaskSpec]) -> pa.Table:
    pairs = [(task_id, int(concept)) for task_id, task in enumerate(tasks) for concept in sorted(set(task.mask))]
    return pa.table(
        [[task for task, _ in pairs], [concept for _, concept in pairs], ["own"] * len(pairs)],
        names=MASKS_SCHEMA.names,
    ).cast(MASKS_SCHEMA)


def _write_split(
    folder: Path, split: str, entity_ids: Sequence[str], rows: Rows, rows_per_group: int, rows_per_file: int
) -> m.SplitEntry:
    files = []
    table = to_table(rows, list(entity_ids))
    for part, start in enumerate(range(0, len(rows), rows_per_file)):
        with PartWriter(folder, part_name(split, part), rows_per_group) as writer:
            writer.append(table.slice(start, rows_per_file))
            files.append(writer.close())
    return m.SplitEntry(rows=len(rows), pairs=len(rows.task_ids), files=files)


def _task_entry(task_id: int, task: TaskSpec, splits: Splits) -> m.TaskEntry:
    pairs, positives = {}, {}
    for split, (_, rows) in splits.items():
        mine = rows.task_ids == task_id
        pairs[split] = int(mine.sum())
        positives[split] = int((mine & (rows.labels > 0)).sum()) if task.kind == "binary" else pairs[split]
    return m.TaskEntry(
        name=task.name, kind=task.kind, classes=list(task.classes), pairs=pairs, positives=positives, group=task.group
    )
