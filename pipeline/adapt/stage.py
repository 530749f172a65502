"""The adapt stage: a model and fresh shards -> the same model with some segments' own parts trained on."""

from __future__ import annotations

import difflib
import logging
import time
from typing import Any

import torch
from torch import nn

from models.ensemble import members_of
from models.mixture import ExpertMixture
from pipeline import summary
from pipeline.adapt.heads import Adapted, adapt_segment
from pipeline.adapt.rows import SegmentRows, rows_of_tasks
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.modelfolder import check_vocabulary, load_model, write_model
from pipeline.shards.dataset import ShardSet, open_shards
from pipeline.thresholds import choose_threshold

logger = logging.getLogger(__name__)

_MOST_VALIDATION = 1 << 16
"""Rows of a segment that it is judged on."""


def run(config: Config) -> None:
    """Adapt `adapt.segments` of the current model on the current shards; a new generation of the model is written.

    A segment's gate and tower go on, all else is frozen: so no other segment's scores change by a bit, and a segment
    costs seconds. Raises UserError for unknown segments, a model without gates and towers of single tasks, and shards
    of another vocabulary, shards without validation rows, and for chains.
    """
    if config.chains:
        raise UserError("adapt: a segment goes on by its own labels and knows no chains, whose steps imply others")
    began = time.monotonic()
    torch.set_num_threads(config.train.threads or torch.get_num_threads())
    layout, how = Layout.of(config), config.adapt
    shards, loaded = open_shards(layout), load_model(layout)
    check_vocabulary(loaded.spec, shards.vocabulary_hash, shards.folder, shards.hash_of_first)
    names = [task.name for task in loaded.spec.tasks]
    if names != [task.name for task in shards.tasks]:
        raise UserError(f"{shards.folder}: its segments are not those of the model; run the train stage again")
    for split in ("support", "validation"):
        if shards.manifest.splits[split].rows == 0:
            raise UserError(f"{shards.folder}: no {split} rows, by which a segment is adapted; look at align.split")
    chosen = _chosen(how.segments, shards)
    members = _mixtures(loaded.model, loaded.spec.architecture.name)
    known = loaded.spec.vocabulary_size
    support = rows_of_tasks(shards, "support", chosen, how.max_rows, known)
    validation = rows_of_tasks(shards, "validation", chosen, _MOST_VALIDATION, known, fair=True)
    thresholds, facts = dict(loaded.spec.thresholds), {}
    for task in chosen:
        if not _has_both(support[task]) or not _has_both(validation[task]):
            logger.warning("segment %s: support or validation holds one class only; it stays as it is", names[task])
            continue
        start = time.monotonic()
        found = adapt_segment(members, task, support[task], validation[task], how)
        for member, head in zip(members, found.heads, strict=True):
            head.write_to(member)
        if found.rate is not None:
            labels = validation[task].batch.labels.numpy()
            thresholds[names[task]] = choose_threshold(labels, found.validation.numpy(), config.evaluate.threshold)
        facts[names[task]] = _facts(found, time.monotonic() - start)
        logger.info("segment %s: validation AUC %.4f, was %.4f", names[task], found.after[0], found.before[0])
    adapted = {name for name, of in facts.items() if of["rate"] is not None}
    training = {**loaded.spec.training, "adapted": sorted(adapted.union(loaded.spec.training.get("adapted", [])))}
    write_model(
        layout.model, loaded.model, loaded.spec.model_copy(update={"thresholds": thresholds, "training": training})
    )
    seconds = round(time.monotonic() - began, 2)
    summary.write(layout, "adapt", {"segments": facts, "from": loaded.version, "seconds": seconds})
    better = sum(of["rate"] is not None for of in facts.values())
    logger.info(
        "%d of %d segments are better on validation, %.1f s; the others are as they were", better, len(facts), seconds
    )


def _chosen(wanted: list[str], shards: ShardSet) -> list[int]:
    """The task ids. Raises UserError for names that are no binary segments."""
    binary = {task.name: number for number, task in enumerate(shards.tasks) if task.kind == "binary"}
    for name in wanted:
        if name not in binary:
            near = difflib.get_close_matches(name, binary, n=1, cutoff=0.0)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"adapt.segments: {name!r} is no binary segment of the model{hint}")
    return [binary[name] for name in wanted] if wanted else list(binary.values())


def _mixtures(model: nn.Module, name: str) -> list[ExpertMixture]:
    members = [member for member in members_of(model) if isinstance(member, ExpertMixture)]
    if len(members) != len(members_of(model)):
        raise UserError(
            f"a model {name} cannot be adapted by segment: its gates and towers are not apart (metaaug and mmoe are)"
        )
    return members


def _has_both(rows: SegmentRows) -> bool:
    positives = int((rows.batch.labels > 0).sum())
    return 0 < positives < rows.batch.rows


def _facts(found: Adapted, seconds: float) -> dict[str, Any]:
    return {
        "auc_before": found.before[0],
        "auc_after": found.after[0],
        "loss_before": found.before[1],
        "loss_after": found.after[1],
        "rate": found.rate,
        "seconds": round(seconds, 3),
    }
