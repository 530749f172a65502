"""manifest.json: what stands in a shard folder. Written last: a folder without one is no data set."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from models.task import TaskKind
from pipeline.errors import UserError

SCHEMA_VERSION = 1
NAME = "manifest.json"
VOCABULARY = "vocabulary.parquet"
MASKS = "masks.parquet"
SPLITS = ("support", "validation", "query")
_AGAIN = "run the align stage again"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Entry):
    """One Parquet file; `path` is relative to the shard folder, `row_groups` are the rows of each."""

    path: str
    rows: int
    bytes: int
    sha256: str
    row_groups: list[int]


class SplitEntry(_Entry):
    rows: int
    pairs: int
    files: list[FileEntry]

    @property
    def row_groups(self) -> int:
        return sum(len(file.row_groups) for file in self.files)


class TaskEntry(_Entry):
    """A task; its id is its place in the manifest. `positives` counts labels > 0 of binary tasks, else pairs."""

    name: str
    kind: TaskKind = "binary"
    classes: list[str] = []
    pairs: dict[str, int]
    positives: dict[str, int]
    group: str


class Manifest(_Entry):
    schema_version: int
    vocabulary_hash: str
    vocabulary_size: int
    fields: list[str]
    tasks: list[TaskEntry]
    splits: dict[str, SplitEntry]
    checksums: dict[str, str]
    """Of the files besides the splits' own."""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, the same bytes for the same content."""
    text = json.dumps(manifest.model_dump(), indent=1, sort_keys=True, ensure_ascii=False)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read manifest.json. Raises UserError where it is missing, damaged or of another schema version."""
    path = folder / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder}: no {NAME}, so these shards were never finished; {_AGAIN}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {_AGAIN}") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: schema version {version}, but this program reads {SCHEMA_VERSION}; {_AGAIN}")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: damaged: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}; {_AGAIN}") from None


def check_files(folder: Path, manifest: Manifest, checksums: bool = True) -> None:
    """Every file of the manifest is there and has its size, and its SHA-256 where `checksums`.

    Raises UserError naming the file that is missing, truncated or altered.
    """
    expected: dict[str, tuple[int | None, str]] = {name: (None, digest) for name, digest in manifest.checksums.items()}
    for split in manifest.splits.values():
        expected.update({file.path: (file.bytes, file.sha256) for file in split.files})
    for name, (size, digest) in expected.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: missing, though the manifest names it; {_AGAIN}")
        actual = path.stat().st_size
        if size is not None and actual != size:
            raise UserError(f"{path}: {actual:,} bytes, but the manifest says {size:,} (truncated?); {_AGAIN}")
        if checksums and file_sha256(path) != digest:
            raise UserError(f"{path}: altered since it was written (its SHA-256 differs); {_AGAIN}")


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
