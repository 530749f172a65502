"""All contenders x seeds: run what is not done, then tables, plots and a page.

{workdir}/compare/LABEL/SEED/         a model, its log and its own report (pipeline/runs.py)
{workdir}/report/compare.{csv,md,html}
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline import summary
from pipeline.compare.chains import chains_of_seeds, references_of
from pipeline.compare.contenders import contender_config, contenders
from pipeline.compare.cost import ROWS, measure_cost
from pipeline.compare.passes import passes_of
from pipeline.compare.statistics import Results
from pipeline.compare.table import Comparison, ModelFacts, write_comparison
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.experiment_table import ORACLE, SegmentResult, read_results
from pipeline.layout import Layout
from pipeline.metricslog import read_log
from pipeline.modelfolder import load_model
from pipeline.runs import prepare_data, run_once
from pipeline.shards.batches import scan_batches
from pipeline.shards.dataset import open_shards

logger = logging.getLogger(__name__)


def run(config: Config, seeds: Sequence[int], labels: Sequence[str] = ()) -> str:
    """Run what is not done yet; write and return the table (Markdown).

    labels: only these of `compare.models`. Raises UserError, before any work, for a model, label or key that is not
    known, and without seeds.
    """
    if not seeds:
        raise UserError("no seeds: give at least one, as in --seeds 0 1 2")
    seeds = list(dict.fromkeys(seeds))
    chosen = contenders(config, labels)
    planned = {label: {seed: contender_config(config, label, seed) for seed in seeds} for label in chosen}
    prepare_data(config)
    for number, (label, of_seeds) in enumerate(planned.items(), start=1):
        for seed, contender in of_seeds.items():
            logger.info("model %d of %d: %s, seed %d", number, len(planned), label, seed)
            run_once(config, contender, config.compare.models[label].adapt)
            _measure_cost(contender)
    layouts = {label: [Layout.of(one) for one in of_seeds.values()] for label, of_seeds in planned.items()}
    comparison = Comparison(
        name=config.run.name,
        seeds=seeds,
        ours=config.compare.ours if config.compare.ours in chosen else chosen[0],
        results=_results({label: [read_results(one) for one in of] for label, of in layouts.items()}),
        models={label: _facts(of) for label, of in layouts.items()},
        published=config.evaluate.published,
        baseline=config.compare.baseline,
        chain_references=references_of(_evaluated(layouts[chosen[0]][0]).get("chains", [])),
    )
    return write_comparison(Layout.of(config).report, comparison)


def _measure_cost(config: Config) -> None:
    """Once a model; it stands among the summaries of its folder."""
    layout = Layout.of(config)
    loaded = load_model(layout)
    known = summary.read(layout, "cost")
    if known.get("version") == loaded.version and "training_bytes" in known:
        return
    shards = open_shards(layout, checksums=False)
    _, rows = next(iter(scan_batches(shards, "query", ROWS)))
    cost = measure_cost(loaded.model, rows, len(shards.tasks))
    summary.write(layout, "cost", cost.facts() | {"version": loaded.version})


def _results(found: dict[str, list[list[SegmentResult]]]) -> Results:
    """The AUCs of all labels, and of the references, which do not change with model or seed."""
    first = next(iter(found.values()))[0]
    segments = [one.segment for one in first]
    auc = {
        label: np.array([[one.model for one in _in_order(of_seed, segments)] for of_seed in of_seeds])
        for label, of_seeds in found.items()
    }
    for name in sorted({name for one in first for name in one.references}, key=lambda name: (name == ORACLE, name)):
        auc[name] = np.array([[one.references.get(name, np.nan) for one in first]])
    return Results(segments=segments, groups=[one.group for one in first], auc=auc)


def _in_order(results: Sequence[SegmentResult], segments: Sequence[str]) -> list[SegmentResult]:
    by_name = {one.segment: one for one in results}
    return [by_name[name] for name in segments]


def _facts(layouts: Sequence[Layout]) -> ModelFacts:
    """Means over seeds of what a model's runs have told."""
    cost = [summary.read(layout, "cost") for layout in layouts]
    train = [summary.read(layout, "train") for layout in layouts]
    evaluated = [_evaluated(layout) for layout in layouts]
    metrics = [one["groups"].get("all", {}).get("model", {}) for one in evaluated]
    return ModelFacts(
        metrics={name: [one[name] for one in metrics] for name in (metrics[0] if metrics else {})},
        parameters=cost[0]["parameters"],
        network_parameters=cost[0]["network_parameters"],
        flops_per_row=cost[0]["flops_per_row"],
        row_microseconds=float(np.median([one["row_microseconds"] for one in cost])),
        scoring_bytes=cost[0]["scoring_bytes"],
        training_bytes=cost[0]["training_bytes"],
        epoch_seconds=float(np.median([one["seconds"] / max(1, one["epochs"]) for one in train])),
        passes=[passes_of(read_log(layout.train_log)) for layout in layouts],
        chains=chains_of_seeds([one.get("chains", []) for one in evaluated]),
    )


def _evaluated(layout: Layout) -> dict[str, Any]:
    return summary.read(layout, "evaluate")
