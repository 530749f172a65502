"""What a finished run leaves: the model folder and the stage's summary."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models.task import Task
from pipeline import summary
from pipeline.modelfolder import Architecture, ModelSpec, TaskSpec, write_model
from pipeline.shards.dataset import ShardSet
from pipeline.thresholds import choose_threshold
from pipeline.train.build import model_settings
from pipeline.train.context import Context
from pipeline.train.loop import Loop
from pipeline.train.objective import Objective
from pipeline.train.start import LabelStatistics
from pipeline.train.validation import PairScores, score_pairs

_BATCHES_WITHOUT_VALIDATION = 10


def choose_thresholds(model: nn.Module, objective: Objective, context: Context) -> dict[str, float]:
    """Binary segment -> its decision threshold, from validation; from rows of the support where there is none.

    Every rank takes part.
    """
    has_validation = context.shards.manifest.splits["validation"].rows > 0
    if has_validation:
        scores = score_pairs(model, context, "validation", objective.standardised)
    else:
        scores = score_pairs(model, context, "support", objective.standardised, _BATCHES_WITHOUT_VALIDATION)
    return _thresholds(scores, context.shards.tasks, context)


def _thresholds(scores: PairScores, tasks: list[Task], context: Context) -> dict[str, float]:
    found = {}
    for index, task in enumerate(tasks):
        if task.kind == "binary":
            mine = scores.tasks == index
            found[task.name] = choose_threshold(
                scores.labels[mine], scores.scores[mine], context.config.evaluate.threshold
            )
    return found


def write_results(
    model: nn.Module, loop: Loop, statistics: LabelStatistics, thresholds: dict[str, float], context: Context
) -> None:
    """Write the model folder, then the summary (rank 0)."""
    _to_label_units(model, context.shards, statistics)
    write_model(context.layout.model, model, _spec(loop, thresholds, context))
    summary.write(context.layout, "train", _facts(model, loop, context))


@torch.no_grad()
def _to_label_units(model: nn.Module, shards: ShardSet, statistics: LabelStatistics) -> None:
    """Fold the standardisation of regression labels into the model, so that it predicts in their own units."""
    tasks = shards.tasks
    if any(task.kind == "regression" for task in tasks):
        heads = torch.tensor([index for index, task in enumerate(tasks) for _ in range(task.outputs)])
        model.scale_outputs(statistics.scale[heads], statistics.shift[heads])  # type: ignore[operator]


def _spec(loop: Loop, thresholds: dict[str, float], context: Context) -> ModelSpec:
    config, shards, progress = context.config, context.shards, loop.progress
    settings = model_settings(config, shards)
    tasks = [
        TaskSpec(name=task.name, kind=task.kind, outputs=task.outputs, classes=entry.classes, group=entry.group)
        for task, entry in zip(shards.tasks, shards.manifest.tasks, strict=True)
    ]
    return ModelSpec(
        architecture=Architecture(name=config.model.name, settings=settings, members=config.model.members),
        vocabulary_hash=shards.vocabulary_hash,
        vocabulary_size=shards.vocabulary_size,
        tasks=tasks,
        thresholds=thresholds,
        metrics={"validation": progress.best},
        training={
            "best_epoch": progress.best_epoch,
            "epochs": progress.epoch,
            "steps": progress.step,
            "settings": config.train.model_dump(mode="json"),
        },
    )


def _facts(model: nn.Module, loop: Loop, context: Context) -> dict[str, Any]:
    progress, settings = loop.progress, context.settings
    rows = progress.step / max(1, loop.steps_per_epoch) * context.shards.manifest.splits["support"].rows
    return {
        "model": context.config.model.name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "stopped_early": progress.epoch < settings.epochs,
        "steps": progress.step,
        "validation_auc": progress.best.get("mean"),
        "validation_groups": progress.best.get("groups", {}),
        "validation_loss": progress.best.get("loss"),
        "seconds": progress.seconds,
        "rows_per_second": rows / progress.seconds if progress.seconds else None,
        "ranks": context.world.size,
        "sync_every": settings.sync_every,
        "bytes_summed": context.world.summed_bytes,
        "device": context.device.type,
        "precision": str(context.dtype).removeprefix("torch."),
    }
