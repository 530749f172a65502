"""Baselines: one model a segment, on the same vectors under the same masks, settings chosen on validation."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from models.task import Task
from pipeline.classical import fit_linear, linear, trees
from pipeline.classical.views import View, side_of
from pipeline.shards.batches import Matrix
from pipeline.thresholds import Objective, choose_threshold

logger = logging.getLogger(__name__)

SETTINGS = {"logistic_regression": linear.SETTINGS, "lightgbm": trees.SETTINGS}
_SECONDS_BETWEEN_LINES = 15.0


@dataclass(frozen=True, slots=True)
class Fitted:
    """A baseline of one task: scores on the task's query rows, in row order; threshold (binary) chosen on
    validation; what was chosen, and for how many seconds it was fitted."""

    scores: NDArray[np.float64]
    threshold: float
    chosen: dict[str, float]
    seconds: float


@dataclass(frozen=True, slots=True)
class Splits:
    """The three splits in memory, and of each task the concepts it may not see."""

    support: Matrix
    validation: Matrix
    query: Matrix
    tasks: Sequence[Task]
    masked: Sequence[NDArray[np.int64]]

    def view(self, task_id: int) -> View:
        masked = self.masked[task_id]
        sides = [side_of(matrix, task_id, masked) for matrix in (self.support, self.validation, self.query)]
        task = self.tasks[task_id]
        return View(task.kind, task.outputs, masked, *sides)


def fit_baselines(splits: Splits, names: Sequence[str], objective: Objective) -> dict[str, list[Fitted]]:
    """Every named baseline of every task, tasks spread over the cores by threads."""
    workers = len(os.sched_getaffinity(0))
    jobs = [(name, task_id) for name in names for task_id in range(len(splits.tasks))]
    found: dict[tuple[str, int], Fitted] = {}
    own = threading.local()
    with (
        warnings.catch_warnings(),
        threadpool_limits(limits=1),
        ThreadPoolExecutor(workers) as pool,
        _Progress(len(jobs)) as progress,
    ):
        # Here and not where they arise: catch_warnings is not for threads.
        warnings.filterwarnings("ignore", "Overriding the parameters from Reference Dataset", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        futures = {pool.submit(_fit, splits, name, task_id, objective, own): (name, task_id) for name, task_id in jobs}
        try:
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                progress.advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: [found[name, task_id] for task_id in range(len(splits.tasks))] for name in names}


def _fit(splits: Splits, name: str, task_id: int, objective: Objective, own: threading.local) -> Fitted:
    started = time.monotonic()
    view = splits.view(task_id)
    if name == "lightgbm":
        if not hasattr(own, "trees"):
            own.trees = trees.TreeFitter()
        unmasked = tuple(
            matrix.features if len(side.rows) == matrix.features.shape[0] else matrix.features[side.rows]
            for matrix, side in ((splits.support, view.support), (splits.validation, view.validation))
        )
        on_validation, on_query, rounds = own.trees.fit(view, unmasked)
        chosen = {"rounds": float(rounds[0])}
    else:
        fitted = fit_linear(view.kind, view.classes, view.support, view.validation)
        on_validation, on_query = fitted.scores(view.validation.features), fitted.scores(view.query.features)
        chosen = {"C": fitted.strength}
    threshold = float("nan")
    if view.kind == "binary":
        threshold = choose_threshold(view.validation.labels, on_validation, objective)
    return Fitted(on_query, threshold, chosen, time.monotonic() - started)


class _Progress:
    """A bar on a terminal; elsewhere a log line now and then."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._last = total, 0, time.monotonic()
        self._bar = tqdm(total=total, desc="baselines", unit="fit") if sys.stderr.isatty() else None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.update(1)
        elif time.monotonic() - self._last > _SECONDS_BETWEEN_LINES:
            logger.info("baselines: %d of %d fits", self._done, self._total)
            self._last = time.monotonic()
