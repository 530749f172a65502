"""Models by name, with their settings checked against their constructors."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from torch import Tensor, nn

from models.ensemble import Ensemble
from models.masks import TaskMasks
from models.metaaug import MetaAug
from models.task import Task

MODELS: dict[str, type[nn.Module]] = {"metaaug": MetaAug}


def build_model(
    name: str, tasks: Sequence[Task], masks: TaskMasks, fields: Tensor, settings: Mapping[str, Any], members: int = 1
) -> nn.Module:
    """The model `name` with its settings; an ensemble of so many where members is above 1.

    Raises ValueError for an unknown name or setting or a wrong type or value.
    """
    check_settings(name, settings)
    built = [MODELS[name](tasks, masks, fields, **settings) for _ in range(members)]
    return built[0] if members == 1 else Ensemble(built)


def check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """Raises ValueError, naming the nearest choice, unless every setting is one of the model's and of its type."""
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; the models are {', '.join(sorted(MODELS))}")
    types = setting_types(name)
    for key, value in settings.items():
        if key not in types:
            nearest = difflib.get_close_matches(key, types, n=1, cutoff=0)[0]
            raise ValueError(f"model {name} has no setting {key!r}; the nearest is {nearest} (of {', '.join(types)})")
        if not _fits(value, types[key]):
            raise ValueError(f"model {name}: {key} is a {types[key].__name__}, not {value!r}")


def setting_types(name: str) -> dict[str, type]:
    """The model's settings: its keyword-only constructor arguments and their types."""
    constructor = MODELS[name].__init__
    hints = get_type_hints(constructor)
    parameters = inspect.signature(constructor).parameters.values()
    return {p.name: hints[p.name] for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _fits(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind
