"""Shards with soft targets: a copy of a shard folder in which labels of the support are shares between 0 and 1.

taught.json, among the manifest's checksums, says which shards it was made from and how.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.faults import fault_point
from pipeline.generations import current_generation, new_generation
from pipeline.layout import Layout
from pipeline.shards import manifest as m
from pipeline.shards.codec import FLOAT, INT, pack, unpack
from pipeline.shards.dataset import ShardSet, open_folder
from pipeline.shards.writer import PartWriter

FACTS = "taught.json"
_SUPPORT = "support"


def write_taught(layout: Layout, shards: ShardSet, targets: NDArray[np.float32], facts: dict[str, Any]) -> None:
    """Write and make current the shards with these targets [pairs of the support, in the files' order].

    facts: how they were made, to know the same again (`is_current`).
    """
    with new_generation(layout.taught, shards.folder.name) as folder:
        for name in _others(shards.manifest):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shards.folder / name, folder / name)
        files, used = [], 0
        for entry in shards.manifest.splits[_SUPPORT].files:
            with PartWriter(folder, entry.path, max(entry.row_groups)) as writer:
                for table, pairs in _with_targets(shards.folder / entry.path, targets[used:]):
                    writer.append(table)
                    used += pairs
                files.append(writer.close())
        if used != len(targets):
            raise ValueError(f"{len(targets)} targets for {used} pairs")
        fault_point("teach:before-manifest")
        facts = {"source": _fingerprint(shards), **facts}
        (folder / FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        manifest = shards.manifest
        support = manifest.splits[_SUPPORT].model_copy(update={"files": files})
        checksums = manifest.checksums | {FACTS: m.file_sha256(folder / FACTS)}
        changed = {"splits": manifest.splits | {_SUPPORT: support}, "checksums": checksums}
        m.write_manifest(folder, manifest.model_copy(update=changed))


def open_taught(layout: Layout, *, checksums: bool = True) -> ShardSet:
    """The current taught shards, checked as `open_shards` does. Raises UserError where they are not of the shards
    that stand there now."""
    taught = open_folder(current_generation(layout.taught, "soft targets", "teach"), checksums=checksums)
    if taught_from(taught).get("source") != _fingerprint(_current(layout)):
        raise UserError(
            f"{taught.folder}: soft targets of other shards than {layout.shards}; run the teach stage again"
        )
    return taught


def is_current(layout: Layout, facts: dict[str, Any]) -> bool:
    """Whether whole soft targets of the current shards, made in this way, stand there already."""
    try:
        found = taught_from(open_taught(layout))
    except UserError:
        return False
    return all(found.get(name) == value for name, value in facts.items())


def is_taught(shards: ShardSet) -> bool:
    return FACTS in shards.manifest.checksums


def taught_from(shards: ShardSet) -> dict[str, Any]:
    """What `write_taught` was told, and the fingerprint of its shards; empty for shards with labels."""
    if not is_taught(shards):
        return {}
    facts: dict[str, Any] = json.loads((shards.folder / FACTS).read_text(encoding="utf-8"))
    return facts


def _current(layout: Layout) -> ShardSet:
    folder = current_generation(layout.shards, "shards", "align")
    return ShardSet(folder, m.read_manifest(folder))


def _fingerprint(shards: ShardSet) -> str:
    """The manifest holds the checksums of all files."""
    return m.file_sha256(shards.folder / m.NAME)


def _others(manifest: m.Manifest) -> list[str]:
    """All files but the support's and the manifest."""
    splits = [file.path for name, split in manifest.splits.items() if name != _SUPPORT for file in split.files]
    return [*manifest.checksums, *splits]


def _with_targets(path: Path, targets: NDArray[np.float32]) -> Iterator[tuple[pa.Table, int]]:
    """Each row group with its share of the targets, and how many these are."""
    used = 0
    with pq.ParquetFile(path) as file:
        place = file.schema_arrow.get_field_index("labels")
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            _, offsets = unpack(table.column("task_ids").combine_chunks(), INT)
            pairs = int(offsets[-1])
            mine = np.ascontiguousarray(targets[used : used + pairs], FLOAT)
            if len(mine) != pairs:
                raise ValueError(f"{path}: more pairs than targets")
            yield table.set_column(place, "labels", pack(mine, offsets)), pairs
            used += pairs
