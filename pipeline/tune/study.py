"""A study of Optuna in one file of JSON lines, which a killed run goes on from as if it had not been killed."""

from __future__ import annotations

import logging
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from pipeline.config.tuning import Tune
from pipeline.train.steps import seed_of

optuna.logging.set_verbosity(optuna.logging.WARNING)
logger = logging.getLogger(__name__)

_STARTUP = 5
"""So many trials are drawn at random and not pruned before TPE and the median have something to go by."""
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_UNFIT = "unfit"


def open_study(path: Path, name: str, tune: Tune, epochs: int) -> optuna.Study:
    """The study that stands in a file, or a new one. Trials that a kill cut short do not count and are run again.

    epochs: of a trial; the first third is not pruned.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pruner = optuna.pruners.MedianPruner(_STARTUP, n_warmup_steps=epochs // 3) if tune.prune else None
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))),
        study_name=name,
        direction="maximize",
        load_if_exists=True,
        pruner=pruner or optuna.pruners.NopPruner(),
    )
    for left_over in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(left_over.number, state=TrialState.FAIL)
    return study


def done_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Those that count: pruned ones too, and those whose values did not fit."""
    trials = study.get_trials(deepcopy=False, states=(*_DONE, TrialState.FAIL))
    return [trial for trial in trials if trial.state in _DONE or _UNFIT in trial.user_attrs]


def tell_unfit(study: optuna.Study, trial: Trial, why: str) -> None:
    """The trial's values are refused or learn nothing: it is done, without a value."""
    trial.set_user_attr(_UNFIT, why)
    study.tell(trial, state=TrialState.FAIL)


def next_trial(study: optuna.Study, tune: Tune) -> Trial:
    """What it draws depends on the seed and the trials that are done: so a run that goes on draws the same."""
    seed = seed_of(tune.seed, len(done_trials(study))) % 2**32
    if tune.sampler == "random":
        study.sampler = optuna.samplers.RandomSampler(seed=seed)
    else:
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP)
    return study.ask()
