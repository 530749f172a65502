"""The evaluate stage: the model, its baselines and the oracle on the query split, which is read here and only once."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import summary
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.evaluate import baselines
from pipeline.evaluate.attention import task_attention
from pipeline.evaluate.baselines import Fitted, Splits, fit_baselines
from pipeline.evaluate.cache import cached, key_of
from pipeline.evaluate.chains import measure_chains
from pipeline.evaluate.console import print_results
from pipeline.evaluate.oracle import read_truth
from pipeline.evaluate.predict import TaskScores, predict
from pipeline.evaluate.report import Looks, finite, write_report
from pipeline.evaluate.results import MODEL, OF_SCORES, ORACLE, SegmentResult, measure, segment_result, summarise
from pipeline.evaluate.selection import selection_of
from pipeline.examples import entity_of_id
from pipeline.layout import Layout
from pipeline.modelfolder import ModelSpec, check_vocabulary, load_model
from pipeline.shards import manifest as m
from pipeline.shards.batches import Matrix, load_csr
from pipeline.shards.dataset import ShardSet, open_shards

logger = logging.getLogger(__name__)


def run(config: Config) -> None:
    """Measure the current model on the current shards; write the report, the summary and a table to the terminal.

    Raises UserError where shards and model do not stand or do not belong together, and for an empty query split.
    """
    started = time.monotonic()
    layout, settings = Layout.of(config), config.evaluate
    shards, loaded = open_shards(layout), load_model(layout)
    _check(loaded.spec, shards)
    if shards.manifest.splits["query"].rows == 0:
        raise UserError(f"{shards.folder}: no row in the query split; look at align.split, then align again")
    query = load_csr(shards, "query", settings.max_rows)
    if query.features.shape[0] < shards.manifest.splits["query"].rows:
        logger.warning("evaluate.max_rows: only %d rows of each split are used", query.features.shape[0])
    known = query.of_concepts(loaded.spec.vocabulary_size)
    predicted = predict(loaded.model, known, shards.tasks)
    scores: dict[str, list[TaskScores]] = {MODEL: predicted.tasks}
    thresholds: dict[str, list[float | None]] = {MODEL: _thresholds(loaded.spec)}
    fitted = _baselines(config, layout, shards, query)
    for name, of_tasks in fitted.items():
        scores[name] = [
            TaskScores(own.rows, own.labels, one.scores) for own, one in zip(predicted.tasks, of_tasks, strict=True)
        ]
        thresholds[name] = [one.threshold for one in of_tasks]
    if settings.oracle is not None:
        entities = [entity_of_id(example, config.unfold) for example in query.entity_ids]
        truth = read_truth(Path(layout.resolve(settings.oracle)), entities, [task.name for task in shards.tasks])
        scores[ORACLE] = _oracle_scores(predicted.tasks, truth)
        thresholds[ORACLE] = [None] * len(shards.tasks)
    results = _results(shards, scores, thresholds, summary.read(layout, "score"))
    facts = summarise(results, list(fitted)) | {
        "query_rows": query.features.shape[0],
        "published": settings.published if any(one.kind == "binary" for one in results) else {},
        "baseline_seconds": {name: round(sum(one.seconds for one in of), 1) for name, of in fitted.items()},
    }
    if config.chains:
        names = [task.name for task in shards.tasks]
        facts["chains"] = measure_chains(config.chains, names, scores, config.train.space == "local")
    attention = task_attention(loaded.model, known, shards.tasks, shards.masks())
    selection = selection_of(loaded.model, known)
    if selection is not None:
        facts["selection_rate"] = selection.by_layer()
    looks = Looks(predicted.gates, attention, selection)
    report = write_report(layout, config.run.name, loaded, results, facts, scores, looks, settings.threshold)
    summary.write(layout, "evaluate", _facts(facts, results, list(fitted), time.monotonic() - started))
    print_results(facts)
    logger.info("report: %s", report.absolute())


def _check(spec: ModelSpec, shards: ShardSet) -> None:
    """Raises UserError where the model was trained on another vocabulary or for other segments."""
    check_vocabulary(spec, shards.vocabulary_hash, shards.folder, shards.hash_of_first)
    if shards.vocabulary_size > spec.vocabulary_size:
        logger.warning(
            "%s: the vocabulary has %d concepts more than the model knows; the model does without them",
            shards.folder,
            shards.vocabulary_size - spec.vocabulary_size,
        )
    theirs = [(task.name, task.kind, task.outputs) for task in spec.tasks]
    if theirs != [(task.name, task.kind, task.outputs) for task in shards.tasks]:
        raise UserError(f"{shards.folder}: its segments are not those of the model; run the train stage again")


def _thresholds(spec: ModelSpec) -> list[float | None]:
    return [spec.thresholds.get(task.name, 0.5) if task.kind == "binary" else None for task in spec.tasks]


def _baselines(config: Config, layout: Layout, shards: ShardSet, query: Matrix) -> dict[str, list[Fitted]]:
    """Every configured baseline, from the file where it was fitted before."""
    settings = config.evaluate
    manifest = (shards.folder / m.NAME).read_text(encoding="utf-8")
    paths = {}
    for name in settings.baselines:
        key = key_of(manifest, {"of": baselines.SETTINGS[name], "for": settings.threshold, "rows": settings.max_rows})
        paths[name] = layout.baselines / f"{name}-{key}.npz"
    splits: Splits | None = None

    def fit(name: str) -> list[Fitted]:
        nonlocal splits
        if splits is None:
            support, validation = (load_csr(shards, split, settings.max_rows) for split in ("support", "validation"))
            splits = Splits(support, validation, query, shards.tasks, shards.masked_concepts())
        return fit_baselines(splits, [name], settings.threshold)[name]

    return {name: cached(path, lambda name=name: fit(name)) for name, path in paths.items()}  # type: ignore[misc]


def _oracle_scores(tasks: Sequence[TaskScores], truth: NDArray[np.float64]) -> list[TaskScores]:
    """truth [rows, tasks]; a task the truth does not know gets no pairs."""
    found = []
    for task_id, own in enumerate(tasks):
        true = truth[own.rows, task_id]
        known = ~np.isnan(true)
        found.append(TaskScores(own.rows[known], own.labels[known], true[known]))
    return found


def _results(
    shards: ShardSet,
    scores: Mapping[str, Sequence[TaskScores]],
    thresholds: Mapping[str, Sequence[float | None]],
    score_facts: Mapping[str, Any],
) -> list[SegmentResult]:
    results = []
    for task_id, entry in enumerate(shards.manifest.tasks):
        metrics = {}
        for who, of_tasks in scores.items():
            found = measure(entry.kind, of_tasks[task_id], thresholds[who][task_id])
            if found:
                metrics[who] = {name: found[name] for name in OF_SCORES} if who == ORACLE else found
        reach = score_facts.get("reach", {}).get(entry.name, {})
        results.append(segment_result(entry, scores[MODEL][task_id], thresholds[MODEL][task_id], metrics, reach))
    return results


def _facts(
    facts: Mapping[str, Any], results: Sequence[SegmentResult], names: Sequence[str], seconds: float
) -> dict[str, Any]:
    """The summary: `segments` holds the AUC of each binary segment, by the model and by each reference."""
    segments = [
        {
            "name": one.name,
            "group": one.group,
            "auc": one.value(MODEL),
            "references": {who: one.value(who) for who in (*names, ORACLE) if not np.isnan(one.value(who))},
        }
        for one in results
        if one.kind == "binary"
    ]
    shown: dict[str, Any] = finite({**facts, "segments": segments, "seconds": round(seconds, 3)})
    return shown
