"""The teach stage: shards -> the same shards with soft targets in the support."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from pipeline import summary
from pipeline.classical.views import side_of
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.shards.batches import load_csr
from pipeline.shards.dataset import ShardSet, open_shards
from pipeline.shards.taught import is_current, write_taught
from pipeline.teach.teachers import SETTINGS, Lesson, Said, blend, folds_of, hear

logger = logging.getLogger(__name__)


def is_needed(config: Config) -> bool:
    """Whether training asks for soft targets."""
    return config.train.targets == "soft"


def run(config: Config) -> None:
    """Write the taught shards, unless they stand there for these shards and settings.

    A binary task of whose rows one class has fewer than `teach.folds` keeps its labels, as other kinds do.
    Raises UserError for missing or damaged shards, and a support that is too large to be held.
    """
    if not is_needed(config):
        logger.info("no soft targets are asked for (train.targets)")
        return
    layout, settings = Layout.of(config), config.teach
    shards = open_shards(layout)
    how = {"weight": settings.weight, "folds": settings.folds, "teachers": SETTINGS}
    if is_current(layout, how):
        logger.info("soft targets of these shards are in %s already", layout.taught)
        return
    rows = shards.manifest.splits["support"].rows
    if rows > settings.max_rows:
        raise UserError(
            f"train.targets: soft: the support has {rows:,} rows, which teachers hold in memory; raise "
            f"teach.max_rows ({settings.max_rows:,}), or set train.targets: labels"
        )
    began = time.monotonic()
    targets, lessons = _targets(shards, settings.folds, settings.weight)
    write_taught(layout, shards, targets, how)
    told = {name: {"share": lesson.share, **lesson.losses} for name, lesson in lessons.items()}
    summary.write(layout, "teach", {"segments": told, "seconds": round(time.monotonic() - began, 1)})
    logger.info("soft targets for %d of %d segments in %s", len(lessons), len(shards.tasks), layout.taught)


def _targets(shards: ShardSet, folds: int, weight: float) -> tuple[NDArray[np.float32], dict[str, Lesson]]:
    """The targets of the support's pairs, and what was taught to each task that was."""
    support, validation = load_csr(shards, "support"), load_csr(shards, "validation")
    masked = shards.masked_concepts()
    labels = {i: support.of_task(i)[1] for i, task in enumerate(shards.tasks) if task.kind == "binary"}
    cuts = {task_id: folds_of(of_task, folds) for task_id, of_task in labels.items()}
    work = [(task_id, held) for task_id, held_of in cuts.items() for held in held_of]

    def hear_one(one: tuple[int, NDArray[np.int64]]) -> Said:
        task_id, held = one
        on_support, on_validation = (side_of(matrix, task_id, masked[task_id]) for matrix in (support, validation))
        return hear(on_support, on_validation, held)

    with warnings.catch_warnings(), threadpool_limits(limits=1), ThreadPoolExecutor(_cores()) as pool:
        warnings.simplefilter("ignore", ConvergenceWarning)
        said = iter(tqdm(pool.map(hear_one, work), "teachers", len(work), disable=not sys.stderr.isatty()))
        lessons = {
            task_id: blend(labels[task_id], [next(said) for _ in held_of], held_of)
            for task_id, held_of in cuts.items()
            if held_of
        }
    targets = support.labels.copy()
    for task_id, lesson in lessons.items():
        mine = support.pair_tasks == task_id
        targets[mine] = (1 - weight) * targets[mine] + weight * lesson.probabilities
    return targets, {shards.tasks[task_id].name: lesson for task_id, lesson in lessons.items()}


def _cores() -> int:
    return len(os.sched_getaffinity(0))
