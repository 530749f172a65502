"""Folders that are written whole or not at all.

root/
  CURRENT              the name of the generation to read, replaced in one step
  3f9a…/               a finished generation
  .writing-3f9a…-812/  one being written; left by a killed process, removed by the next writer
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UserError
from pipeline.faults import fault_point

POINTER = "CURRENT"


@contextmanager
def new_generation(root: Path, name: str) -> Iterator[Path]:
    """A folder to write into; on leaving without an exception it becomes generation `name`, and CURRENT.

    Where a generation of that name stands already the new one gets a number behind it. The generation that was
    current is kept, for those who still read it; older ones are removed after the switch.
    Raises UserError when root cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        for left_over in root.glob(".writing-*"):
            shutil.rmtree(left_over)
        folder = root / f".writing-{name}-{os.getpid()}"
        folder.mkdir()
    except OSError as error:
        raise UserError(f"{root}: cannot be written ({error.strerror}); check run.workdir") from None
    yield folder
    final = root / name
    repeat = 1
    while final.exists():
        repeat += 1
        final = root / f"{name}-{repeat}"
    previous = (root / POINTER).read_text(encoding="utf-8").strip() if (root / POINTER).exists() else None
    os.replace(folder, final)
    fault_point("generation:before-pointer")
    _point(root, final.name)
    for other in root.iterdir():
        if other.is_dir() and other.name not in (final.name, previous):
            shutil.rmtree(other)


def current_generation(root: Path, what: str, stage: str) -> Path:
    """The generation that CURRENT names. Raises UserError, naming the stage to run, where there is none."""
    pointer = root / POINTER
    if not pointer.exists():
        raise UserError(f"{root}: no {what} here; run the {stage} stage first")
    folder = root / pointer.read_text(encoding="utf-8").strip()
    if not folder.is_dir():
        raise UserError(f"{root}: CURRENT names {folder.name}, which is missing; run the {stage} stage again")
    return folder


def _point(root: Path, name: str) -> None:
    temporary = root / f".{POINTER}.{os.getpid()}"
    temporary.write_text(name + "\n", encoding="utf-8")
    os.replace(temporary, root / POINTER)
