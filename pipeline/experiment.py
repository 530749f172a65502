"""Several seeds of one configuration: train and evaluate each on the same shards, then mean ± standard deviation.

    {workdir}/                    data stages, once
    {workdir}/seeds/N/            model, log and report of seed N; the data folders are links to those above
    {workdir}/report/experiment.{csv,md}

A seed that is finished under the same configuration and shards is not run again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from pipeline import align, evaluate, prepare, simulate, summary, train, unfold
from pipeline.config import Config, to_yaml
from pipeline.errors import UserError
from pipeline.experiment_table import SegmentResult, read_results, write_table
from pipeline.layout import Layout

logger = logging.getLogger(__name__)

_SHARED = ("events", "prepared", "tables", "shards", "baselines")
"""Folders that all seeds read and none changes, but for what evaluate keeps in `baselines`."""


def run(config: Config, seeds: Sequence[int]) -> str:
    """Run what is not done yet; write and return the table (Markdown). Raises UserError without seeds."""
    if not seeds:
        raise UserError("no seeds: give at least one, as in --seeds 0 1 2")
    _prepare_data(config)
    results: dict[int, list[SegmentResult]] = {}
    for seed in seeds:
        seeded = seed_config(config, seed)
        if _is_done(config, seeded):
            logger.info("seed %d is done already", seed)
        else:
            _run_seed(config, seeded, seed)
        results[seed] = read_results(Layout.of(seeded))
    return write_table(Layout.of(config).report, results)


def seed_config(config: Config, seed: int) -> Config:
    """The same configuration with another training seed, in a working folder of its own."""
    workdir = str(Layout.of(config).workdir / "seeds" / str(seed))
    return config.model_copy(
        update={
            "run": config.run.model_copy(update={"workdir": workdir}),
            "train": config.train.model_copy(update={"seed": seed}),
        }
    )


def _prepare_data(config: Config) -> None:
    """The data stages, unless they have run under this very configuration of the data."""
    layout = Layout.of(config)
    wanted = _fingerprint(_data_part(config))
    if summary.read(layout, "experiment").get("data") == wanted and (layout.shards / "CURRENT").exists():
        return
    stages: list[ModuleType] = [unfold, align]
    if config.prepare.dataset != "none":
        stages.insert(0, prepare)
    if config.simulate is not None:
        stages.insert(0, simulate)
    for stage in stages:
        logger.info("%s starts", stage.__name__.removeprefix("pipeline."))
        stage.run(config)
    summary.write(layout, "experiment", {"data": wanted})


def _run_seed(config: Config, seeded: Config, seed: int) -> None:
    layout, home = Layout.of(seeded), Layout.of(config)
    logger.info("seed %d starts", seed)
    # What stands there is of another configuration: a model trained on would be neither.
    shutil.rmtree(layout.workdir, ignore_errors=True)
    layout.workdir.mkdir(parents=True)
    for name in _SHARED:
        (home.workdir / name).mkdir(exist_ok=True)
        os.symlink((home.workdir / name).absolute(), layout.workdir / name, target_is_directory=True)
    if home.summaries.is_dir():
        shutil.copytree(home.summaries, layout.summaries)
    train.run(seeded)
    evaluate.run(seeded)
    summary.write(layout, "experiment", {"done": _done_mark(config, seeded)})


def _is_done(config: Config, seeded: Config) -> bool:
    return bool(summary.read(Layout.of(seeded), "experiment").get("done") == _done_mark(config, seeded))


def _done_mark(config: Config, seeded: Config) -> str:
    """Of the configuration and the shards, so that either one's change makes the seed run again."""
    pointer: Path = Layout.of(config).shards / "CURRENT"
    return _fingerprint(to_yaml(seeded) + pointer.read_text(encoding="utf-8"))


def _data_part(config: Config) -> str:
    """The configuration less what only learning reads."""
    default = Config()
    learning = {name: getattr(default, name) for name in ("model", "train", "evaluate", "score")}
    return to_yaml(config.model_copy(update=learning))


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
