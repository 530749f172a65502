"""Several trained models on the same data: data stages once, each model in a folder of its own, none run twice.

{workdir}/            events, tables, shards: the data stages, once
{workdir}/FOLDER/     one model: its checkpoints, log and report; the data folders are links to those above
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from types import ModuleType

from pipeline import adapt, align, evaluate, prepare, simulate, summary, teach, train, unfold
from pipeline.config import Config, to_yaml
from pipeline.layout import Layout

logger = logging.getLogger(__name__)

_SHARED = ("events", "prepared", "tables", "shards", "taught", "baselines")
"""Folders that all models read and none changes, but for what evaluate keeps in `baselines`."""


def prepare_data(config: Config) -> None:
    """The data stages, unless they have run under this very configuration of the data."""
    layout = Layout.of(config)
    wanted = _fingerprint(_data_part(config))
    if summary.read(layout, "experiment").get("data") == wanted and (layout.shards / "CURRENT").exists():
        return
    stages: list[ModuleType] = [unfold, align]
    if config.prepare.dataset != "none":
        stages.insert(0, prepare)
    if config.simulates:
        stages.insert(0, simulate)
    for stage in stages:
        logger.info("%s starts", stage.__name__.removeprefix("pipeline."))
        stage.run(config)
    summary.write(layout, "experiment", {"data": wanted})


def in_folder(config: Config, folder: str) -> Config:
    """The same configuration with a working folder under that of `config`."""
    workdir = str(Layout.of(config).workdir / folder)
    return config.model_copy(update={"run": config.run.model_copy(update={"workdir": workdir})})


def run_once(home: Config, config: Config, adapted: bool = False) -> None:
    """Train and evaluate `config` on the data of `home`, unless that is done under this configuration and shards.

    adapted: segments go on from the trained model first (pipeline/adapt).
    """
    layout = Layout.of(config)
    how = "adapted" if adapted else ""
    done = _fingerprint(how + to_yaml(config) + (Layout.of(home).shards / "CURRENT").read_text(encoding="utf-8"))
    if summary.read(layout, "experiment").get("done") == done:
        logger.info("%s is done already", layout.workdir)
        return
    logger.info("%s starts", layout.workdir)
    # What stands there may be of another configuration: a model trained on would be neither.
    if summary.read(layout, "experiment").get("begun") != done:
        make_folder(Layout.of(home), layout)
        summary.write(layout, "experiment", {"begun": done})
    if teach.is_needed(config):
        teach.run(config)
    train.run(config)
    if adapted:
        adapt.run(config)
    evaluate.run(config)
    summary.write(layout, "experiment", {"begun": done, "done": done})


def make_folder(home: Layout, layout: Layout) -> None:
    """A fresh folder for a model on the data of `home`; what stands there is removed."""
    shutil.rmtree(layout.workdir, ignore_errors=True)
    layout.workdir.mkdir(parents=True)
    for name in _SHARED:
        shared: Path = home.workdir / name
        shared.mkdir(exist_ok=True)
        os.symlink(shared.absolute(), layout.workdir / name, target_is_directory=True)
    if home.summaries.is_dir():
        shutil.copytree(home.summaries, layout.summaries)


def _data_part(config: Config) -> str:
    """The configuration less what only learning reads."""
    learning = {"model", "teach", "train", "evaluate", "score", "compare", "adapt", "tune", "chains"}
    return json.dumps(config.model_dump(mode="json", exclude=learning))


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
