"""What a trial draws, and what that makes of a contender."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from optuna.trial import Trial

from pipeline.config.tuning import Range, Space, Tune


def space_of(tune: Tune, model: str) -> Space:
    """The ranges of a model by name."""
    return tune.shared | tune.models.get(model, {})


def draw(trial: Trial, space: Space) -> dict[str, Any]:
    """Key -> value. Choices are drawn by their JSON text, so that lists of widths are possible."""
    return {key: _drawn(trial, key, values) for key, values in space.items()}


def values_of(params: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """What `draw` gave, from a finished trial's parameters; nothing for the trial that was as configured."""
    return {key: json.loads(params[key]) if one.choices else params[key] for key, one in space.items() if params}


def corners(space: Space) -> list[dict[str, Any]]:
    """Values that show whether the space fits: all lowest ones, all highest, and every choice."""
    low = {key: one.choices[0] if one.choices else one.low for key, one in space.items()}
    high = {key: one.choices[-1] if one.choices else one.high for key, one in space.items()}
    return [low, high, *(low | {key: choice} for key, one in space.items() for choice in one.choices)]


def overlay(values: Mapping[str, Any]) -> dict[str, Any]:
    """As a contender is written: {model: {settings: …}, train: …}."""
    written: dict[str, Any] = {}
    for key, value in values.items():
        place = written
        *above, last = key.split(".")
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return written


def _drawn(trial: Trial, key: str, values: Range) -> Any:
    if values.choices:
        return json.loads(trial.suggest_categorical(key, [json.dumps(choice) for choice in values.choices]))
    low, high = values.low, values.high
    assert low is not None
    assert high is not None
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high, log=values.log)
    return trial.suggest_float(key, float(low), float(high), log=values.log)
