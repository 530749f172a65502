"""What rank 0 tells of a run: steps and epochs, on a progress bar and in the metrics log. Other ranks say nothing."""

from __future__ import annotations

import dataclasses
import logging

from pipeline.metricslog import MetricsLog
from pipeline.train.checkpoint import Progress
from pipeline.train.context import Context
from pipeline.train.progress import ProgressBar
from pipeline.train.validation import Quality

logger = logging.getLogger(__name__)

_LOG_LINES = 2000
"""At most about so many step lines in the metrics log."""


class Teller:
    """Every rank has one and makes the same calls."""

    def __init__(self, context: Context, progress: Progress, total_steps: int) -> None:
        first, step = context.world.is_first, progress.step
        self._log = MetricsLog(context.layout.train_log, step) if first else None
        self._bar = ProgressBar(total_steps, step) if first else None
        self._every = max(1, total_steps // _LOG_LINES)

    def start(self, quality: Quality) -> None:
        """What is known before the first step."""
        if self._log is not None:
            self._log.write("start", 0, validation=dataclasses.asdict(quality))

    def step(self, progress: Progress, last: int, **facts: float) -> None:
        """`last`: the step that was told of before."""
        if self._bar is not None:
            self._bar.advance(progress.step, f"epoch {progress.epoch + 1}, loss {facts['loss']:.4f}")
        if self._log is not None and progress.step // self._every > last // self._every:
            self._log.write("step", progress.step, epoch=progress.epoch, seconds=progress.seconds, **facts)

    def epoch(self, progress: Progress, train_loss: float, quality: Quality) -> None:
        """The epoch that `progress` still counts as the present one."""
        if self._log is None:
            return
        facts = {"epoch": progress.epoch, "best_epoch": progress.best_epoch, "seconds": progress.seconds}
        self._log.write("epoch", progress.step, train_loss=train_loss, validation=dataclasses.asdict(quality), **facts)
        shown = "none" if quality.mean is None else f"{quality.mean:.4f}"
        logger.info("epoch %d: loss %.4f, validation %s", progress.epoch + 1, train_loss, shown)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
