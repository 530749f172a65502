"""Text files, a record a line, into one Parquet file of events: what every adapter shares."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.quarantine import BadRow

ROWS_AT_ONCE = 65_536


class MalformedLine(ValueError):
    """A line that is no record; the message is the reason in the quarantine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """How a data set lies on disk.

    parts: file name -> the value of the column `part`. schema: the columns `parse` fills; `entity` and `part` are
    added in front. parse: a line -> its columns; raises MalformedLine.
    """

    folder: str
    title: str
    parts: Mapping[str, str]
    schema: pa.Schema
    parse: Callable[[str], dict[str, Any]]
    comment: str | None = None
    """Lines that start with this are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    path: Path
    rows: int
    bad: list[BadRow]
    bad_lines: dict[str, int]
    """Malformed lines of each file."""


def write_events(adapter: Adapter, data: Path, folder: Path) -> Written:
    """Write `<folder>/<adapter.folder>.parquet`, whole or not at all; the same bytes for the same input.

    An event's entity is `<file>:<line number>`, from 1. Blank lines and comments are left out.
    Raises UserError where a file is missing or unreadable, holds no record, or the folder cannot be written.
    """
    paths = {name: data / adapter.folder / name for name in adapter.parts}
    for path in paths.values():
        if not path.is_file():
            raise UserError(
                f"{path}: no such file. {adapter.title} is looked for in {path.parent}: put {_files(adapter)} there, "
                "or say where your data stands with DATA= (make) or --set run.data=; README.md tells more"
            )
    schema = pa.schema([pa.field("entity", pa.string()), pa.field("part", pa.string()), *adapter.schema])
    final = folder / f"{adapter.folder}.parquet"
    temporary = folder / f".{final.name}.{os.getpid()}"
    bad: list[BadRow] = []
    bad_lines = dict.fromkeys(paths, 0)
    total = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); check run.workdir") from None
    try:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for name, path in paths.items():
                rows, here = _read(adapter, name, path, writer, schema)
                if not rows:
                    raise UserError(f"{path}: not one line is a record of {adapter.title}{_why(here)}; see README.md")
                total += rows
                bad_lines[name] = len(here)
                bad.extend(here)
        os.replace(temporary, final)
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: {error.strerror}; check run.workdir and the data folder"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return Written(path=final, rows=total, bad=bad, bad_lines=bad_lines)


def _read(
    adapter: Adapter, name: str, path: Path, writer: pq.ParquetWriter, schema: pa.Schema
) -> tuple[int, list[BadRow]]:
    """Write the records of one file; the number written and the lines that are none."""
    rows: list[dict[str, Any]] = []
    bad: list[BadRow] = []
    written = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text or (adapter.comment is not None and text.startswith(adapter.comment)):
                continue
            try:
                columns = adapter.parse(text)
            except MalformedLine as error:
                bad.append(BadRow(source=name, reason=str(error), row={"line": number, "text": text}))
                continue
            rows.append({"entity": f"{name}:{number}", "part": adapter.parts[name], **columns})
            if len(rows) == ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                written += len(rows)
                rows = []
    if rows:
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return written + len(rows), bad


def _files(adapter: Adapter) -> str:
    return " and ".join(adapter.parts)


def _why(bad: list[BadRow]) -> str:
    return f" (line {bad[0].row['line']}: {bad[0].reason})" if bad else " (it is empty)"
