"""Simulated tables as Parquet files, and the folder of them put in place whole."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError


def write_file(table: pa.Table, path: Path) -> None:
    """Whole or not at all: two attempts at one file each write their own and the last rename wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    pq.write_table(table, temporary, compression="zstd")
    os.replace(temporary, path)


def open_staging(root: Path) -> Path:
    """A fresh folder beside the final one; what a killed run left behind is removed."""
    staging = root.with_name(".writing-events")
    try:
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{staging}: cannot be written ({error.strerror}); check run.workdir") from None
    return staging


def put_in_place(staging: Path, root: Path) -> None:
    old = root.with_name(".old-events")
    if old.exists():
        shutil.rmtree(old)
    if root.exists():
        os.replace(root, old)
    os.replace(staging, root)
    shutil.rmtree(old, ignore_errors=True)
