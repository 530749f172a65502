"""Several seeds of one configuration: each trained and evaluated on the same shards, then mean ± standard deviation.

{workdir}/seeds/N/                      model, log and report of seed N (pipeline/runs.py)
{workdir}/report/experiment.{csv,md}    their table
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline import summary
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.experiment_table import SegmentResult, metrics_table, read_results, write_table
from pipeline.layout import Layout
from pipeline.runs import in_folder, prepare_data, run_once


def run(config: Config, seeds: Sequence[int]) -> str:
    """Run what is not done yet; write and return the table (Markdown). Raises UserError without seeds."""
    if not seeds:
        raise UserError("no seeds: give at least one, as in --seeds 0 1 2")
    prepare_data(config)
    results: dict[int, list[SegmentResult]] = {}
    metrics = []
    for seed in dict.fromkeys(seeds):
        seeded = with_seed(in_folder(config, f"seeds/{seed}"), seed)
        run_once(config, seeded)
        results[seed] = read_results(Layout.of(seeded))
        metrics.append(summary.read(Layout.of(seeded), "evaluate").get("groups", {}).get("all", {}).get("model", {}))
    beside = metrics_table(metrics, config.evaluate.published)
    return write_table(Layout.of(config).report, results, beside)


def with_seed(config: Config, seed: int) -> Config:
    """The same configuration with another training seed."""
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})
