"""How far a run is, from rank 0 only."""

from __future__ import annotations

import logging
import sys
import time

from tqdm import tqdm

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0


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
            self._bar.update(step - self._bar.n)
        elif time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            logger.info("step %d of %d, %s", step, self._total, note)
            self._last_line = time.monotonic()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
