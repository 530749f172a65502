"""A finished shard folder, checked: its tasks, masks, fields and vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.masks import TaskMasks
from models.task import Task
from pipeline.errors import UserError
from pipeline.generations import current_generation
from pipeline.layout import Layout
from pipeline.shards import manifest as m
from pipeline.vocabulary import hash_of_concepts


@dataclass(frozen=True)
class ShardSet:
    """A shard folder and its manifest; see `open_shards`."""

    folder: Path
    manifest: m.Manifest

    @property
    def tasks(self) -> list[Task]:
        """As models take them; a task's id is its place. Classes, group and counts: `manifest.tasks`."""
        return [
            Task(name=task.name, kind=task.kind, outputs=len(task.classes) if task.kind == "multiclass" else 1)
            for task in self.manifest.tasks
        ]

    @property
    def vocabulary_hash(self) -> str:
        return self.manifest.vocabulary_hash

    @property
    def vocabulary_size(self) -> int:
        return self.manifest.vocabulary_size

    def hash_of_first(self, concepts: int) -> str:
        """The fingerprint of the first so many concepts of the vocabulary."""
        return hash_of_concepts(enumerate(islice(self._names(), concepts)))

    def masks(self) -> TaskMasks:
        """CMask of every task."""
        table = pq.read_table(self.folder / m.MASKS, columns=["task_id", "concept_id"])
        tasks, concepts = (torch.tensor(table.column(name).to_numpy()) for name in ("task_id", "concept_id"))
        concepts_of_task = [concepts[tasks == task] for task in range(len(self.manifest.tasks))]
        return TaskMasks(concepts_of_task, self.vocabulary_size)

    def masked_concepts(self) -> list[NDArray[np.int64]]:
        """The same for models of one task each: the concepts that each task may not see."""
        masks = self.masks()
        offsets, concepts = masks.mask_offsets.numpy(), masks.mask_concepts.numpy()
        return [concepts[offsets[mask] : offsets[mask + 1]] for mask in masks.task_mask.tolist()]

    def fields(self) -> Tensor:
        """[V] int64: the field of each concept; names in `manifest.fields`."""
        column = pq.read_table(self.folder / m.VOCABULARY, columns=["field_id"]).column("field_id")
        return torch.from_numpy(column.to_numpy().astype(np.int64))

    def concepts(self) -> list[str]:
        """The name of each concept."""
        return list(self._names())

    def _names(self) -> Iterator[str]:
        """The same, one after the other: there may be millions."""
        with pq.ParquetFile(self.folder / m.VOCABULARY) as file:
            for batch in file.iter_batches(columns=["concept"]):
                yield from batch.column(0).to_pylist()


def open_shards(layout: Layout, *, checksums: bool = True) -> ShardSet:
    """The current shards, every file checked for presence and size, and for its SHA-256 unless told not to.

    Where several ranks open the same folder, one of them verifying checksums is enough.
    Raises UserError naming what is missing, truncated, altered or of another version.
    """
    return open_folder(current_generation(layout.shards, "shards", "align"), checksums=checksums)


def open_folder(folder: Path, *, checksums: bool = True) -> ShardSet:
    """The shards in a folder, checked as in `open_shards`."""
    manifest = m.read_manifest(folder)
    m.check_files(folder, manifest, checksums)
    shards = ShardSet(folder, manifest)
    rows = pq.read_metadata(folder / m.VOCABULARY).num_rows
    if rows != manifest.vocabulary_size:
        raise UserError(
            f"{folder / m.VOCABULARY}: {rows:,} concepts, but the manifest says {manifest.vocabulary_size:,}; "
            "run the align stage again"
        )
    return shards
