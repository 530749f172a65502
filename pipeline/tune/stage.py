"""Trials of a contender of `compare.models`, each trained on the support and judged on validation; never evaluated.

{workdir}/tune/LABEL-HASH.jsonl     the study: what was drawn and what came of it; HASH: of all that makes a trial
{workdir}/tune/LABEL/               the trial that runs; removed after it
{workdir}/report/tune_LABEL.{csv,md}
FOLDER/LABEL.yaml                   the best values, as `compare.tuned` reads them
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from pipeline import summary, teach, train
from pipeline.compare.contenders import as_configured, contenders
from pipeline.config import Config, to_yaml
from pipeline.config.tuning import Space
from pipeline.errors import UnfitValues, UserError
from pipeline.layout import Layout
from pipeline.runs import in_folder, make_folder, prepare_data
from pipeline.train.validation import Quality
from pipeline.tune.results import best_of, write_best, write_trials
from pipeline.tune.space import corners, draw, overlay, space_of
from pipeline.tune.study import done_trials, next_trial, open_study, tell_unfit

logger = logging.getLogger(__name__)


def run(config: Config, labels: Sequence[str], folder: Path) -> str:
    """Tune these contenders (none: all), `tune.trials` each; return the tables (Markdown).

    The first trial is the contender as configured, so the best is never below it on validation.
    folder: where the best values go. Trials that are done count; a run that was killed goes on. Raises UserError,
    before any work, for labels, keys and values that do not fit.
    """
    chosen = contenders(config, labels)
    _check(config, chosen)
    prepare_data(config)
    if _has_no_validation(config):
        raise UserError("no validation split to tune on: set align.split.validation above 0 and align again")
    return "\n".join(_tune(config, label, folder) for label in chosen)


def _check(config: Config, labels: Sequence[str]) -> None:
    """Raises UserError where any end of any range is no value for a model."""
    if config.train.launcher != "process":
        raise UserError(f"trials run in one process each: set train.launcher to process, not {config.train.launcher}")
    for label in labels:
        space = space_of(config.tune, config.compare.models[label].model.name)
        if not space:
            raise UserError(f"tune: nothing to draw for {label}; set tune.shared, or read conf/tune/spaces.yaml first")
        for values in corners(space):
            as_configured(config, label, config.compare.models[label].with_values(overlay(values)))


def _has_no_validation(config: Config) -> bool:
    from pipeline.shards.dataset import open_shards

    return open_shards(Layout.of(config), checksums=False).manifest.splits["validation"].rows == 0


def _tune(config: Config, label: str, folder: Path) -> str:
    layout, tune = Layout.of(config), config.tune
    train_settings = as_configured(config, label, config.compare.models[label]).train
    space = space_of(tune, config.compare.models[label].model.name)
    study = open_study(
        layout.workdir / "tune" / f"{label}-{_key(config, label, space)}.jsonl", label, tune, train_settings.epochs
    )
    while len(done_trials(study)) < tune.trials:
        trial = next_trial(study, tune)
        # The first one draws nothing: what is written in the configuration is a trial among the others.
        values = draw(trial, space) if done_trials(study) else {}
        logger.info("%s, trial %d of %d: %s", label, len(done_trials(study)) + 1, tune.trials, values)
        began = time.monotonic()
        try:
            study.tell(trial, _quality(config, label, values, trial))
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except UnfitValues as error:
            if not values:
                raise
            logger.warning("these values do not fit: %s", error)
            tell_unfit(study, trial, str(error))
        logger.info("trial took %.1f s", time.monotonic() - began)
    best = best_of(study)
    text = write_trials(layout.report, label, study, space)
    write_best(folder / f"{label}.yaml", best, space, tune.trials, train_settings.select_by)
    return text


def _quality(config: Config, label: str, values: dict[str, Any], trial: optuna.Trial) -> float:
    """The validation AUC of the epoch that is kept. Raises TrialPruned."""
    contender = config.compare.models[label].with_values(overlay(values))
    ours = in_folder(as_configured(config, label, contender), f"tune/{label}")
    by = ours.train.select_by

    def watch(epoch: int, quality: Quality) -> None:
        value = quality.selected(by) if by == "niche" else quality.mean
        if value is not None:
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

    folder = Layout.of(ours)
    make_folder(Layout.of(config), folder)
    try:
        if teach.is_needed(ours):
            teach.run(ours)
        train.run(ours, watch)
        facts = summary.read(folder, "train")
    finally:
        shutil.rmtree(folder.workdir)
    value = facts["validation_groups"].get("niche") if by == "niche" else None
    value = facts["validation_auc"] if value is None else value
    if value is None:
        raise UserError("no segment can be judged on validation: it has too few rows, or one class only")
    trial.set_user_attr("best_epoch", facts["best_epoch"])
    return float(value)


def _key(config: Config, label: str, space: Space) -> str:
    """Trials of another configuration, data or space do not count; more of them go on from what there is."""
    tune = config.tune.model_copy(update={"trials": 1, "shared": space, "models": {}})
    own = as_configured(config, label, config.compare.models[label])
    own = own.model_copy(update={"tune": tune, "compare": type(config.compare)()})
    shards = (Layout.of(config).shards / "CURRENT").read_text(encoding="utf-8")
    return hashlib.sha256((to_yaml(own) + shards).encode()).hexdigest()[:12]
