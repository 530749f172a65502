"""The metrics log of training, JSON lines: written by `train`, read by reports and comparisons."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class MetricsLog:
    """JSON lines, one a logged step (`kind: step`) or epoch (`kind: epoch`), each with the step it was written after.

    A run that resumes first drops the lines after the step it resumes from.
    """

    def __init__(self, path: Path, after_step: int) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [line for line in read_log(path) if line["step"] <= after_step] if after_step else []
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        os.replace(temporary, path)

    def write(self, kind: str, step: int, **facts: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **facts}) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines there are; a last one that a kill cut short is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines
