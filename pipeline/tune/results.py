"""What tuning leaves: the best values as YAML, and a table of the trials."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from pipeline.config.tuning import Space
from pipeline.errors import UserError
from pipeline.tune.space import overlay, values_of
from pipeline.tune.study import done_trials

_SHOWN = 5


def best_of(study: optuna.Study) -> FrozenTrial:
    """The best that was trained to its end; of equal ones the first."""
    return max(study.get_trials(states=[TrialState.COMPLETE]), key=lambda trial: (trial.value, -trial.number))


def write_best(path: Path, best: FrozenTrial, space: Space, trials: int, select_by: str) -> None:
    """The values as `compare.tuned` reads them. Raises UserError where the folder cannot be written."""
    which = "niche" if select_by == "niche" else "mean"
    head = f"# By jobs.tune: the best of {trials} trials on validation, {which} AUC {best.value:.4f}.\n"
    if not best.params:
        head += "# That is the one as configured: nothing that was drawn did better.\n"
    _replace(path, head + yaml.safe_dump(overlay(values_of(best.params, space)), sort_keys=False))


def write_trials(folder: Path, label: str, study: optuna.Study, space: Space) -> str:
    """tune_LABEL.csv with every trial and tune_LABEL.md with the best; returns the latter's text."""
    trials = sorted(done_trials(study), key=_rank)
    keys = list(space)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["trial", "validation_auc", "state", "best_epoch", *keys])
    for trial in trials:
        drawn = values_of(trial.params, space)
        value = f"{trial.value:.6f}" if trial.state == TrialState.COMPLETE else ""
        epoch = trial.user_attrs.get("best_epoch", "")
        writer.writerow([trial.number, value, trial.state.name.lower(), epoch, *(drawn.get(key, "") for key in keys)])
    _replace(folder / f"tune_{label}.csv", text.getvalue())
    names = [key.rpartition(".")[2] for key in keys]
    lines = [
        f"{label}: {len(trials)} trials, {sum(one.state == TrialState.PRUNED for one in trials)} stopped early",
        "",
    ]
    lines += ["| validation AUC | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for trial in trials[:_SHOWN]:
        if trial.state == TrialState.COMPLETE:
            drawn = values_of(trial.params, space)
            cells = [_cell(drawn[key]) if drawn else "as configured" for key in keys]
            lines.append(f"| {trial.value:.4f} | " + " | ".join(cells) + " |")
    markdown = "\n".join(lines) + "\n"
    _replace(folder / f"tune_{label}.md", markdown)
    return markdown


def _rank(trial: FrozenTrial) -> tuple[bool, float, int]:
    """The best first, those stopped early last."""
    complete = trial.state == TrialState.COMPLETE
    return not complete, -(trial.value or 0.0) if complete else 0.0, trial.number


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
