"""What a run tells while it trains: a progress bar and a log of metrics, both from rank 0 only."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0


class MetricsLog:
    """JSON lines, one a logged step (`kind: step`) or epoch (`kind: epoch`), each with the step it was written after.

    Read by the report. A run that resumes first drops the lines after the step it resumes from.
    """

    def __init__(self, path: Path, after_step: int) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [line for line in _read_lines(path) if line["step"] <= after_step] if after_step else []
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        os.replace(temporary, path)

    def write(self, kind: str, step: int, **facts: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **facts}) + "\n")


class ProgressBar:
    """A tqdm bar on a terminal; elsewhere, as under horovodrun or Airflow, a log line every ten seconds."""

    def __init__(self, total_steps: int, first_step: int) -> None:
        self._total = total_steps
        self._bar = tqdm(total=total_steps, initial=first_step, unit="step") if sys.stderr.isatty() else None
        self._last_line = time.monotonic()

    def advance(self, step: int, note: str) -> None:
        """`step` steps have been taken."""
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(1)
        elif time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            logger.info("step %d of %d, %s", step, self._total, note)
            self._last_line = time.monotonic()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log; a last one that a kill cut short is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            logger.warning("%s: a line that is not JSON is left out", path)
    return lines
