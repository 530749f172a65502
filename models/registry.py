"""Models by name, with their settings checked against their constructors."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from torch import Tensor, nn

from models.aitm import AITM
from models.apem import APEM
from models.cgc import CGC
from models.dcn import DCN
from models.dcn_mix import DCNMix
from models.ensemble import Ensemble
from models.escm2 import ESCM2
from models.esmm import ESMM
from models.masks import TaskMasks
from models.metaaug import MetaAug
from models.mmoe import MMoE
from models.ple import PLE
from models.shared_bottom import SharedBottom
from models.single_task import SingleTask
from models.task import Task
from models.wdl import WideAndDeep

MODELS: dict[str, type[nn.Module]] = {
    "aitm": AITM,
    "apem": APEM,
    "cgc": CGC,
    "dcn": DCN,
    "dcn_mix": DCNMix,
    "escm2": ESCM2,
    "esmm": ESMM,
    "metaaug": MetaAug,
    "mmoe": MMoE,
    "ple": PLE,
    "shared_bottom": SharedBottom,
    "single_task": SingleTask,
    "wdl": WideAndDeep,
}


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
            raise ValueError(f"model {name}: {key} is a {_described(types[key])}, not {value!r}")


def setting_types(name: str) -> dict[str, Any]:
    """The model's settings: its keyword-only constructor arguments and their types.

    A constructor with `**common` passes those on, so the settings of the class above are the model's too.
    """
    found: dict[str, Any] = {}
    for kind in MODELS[name].__mro__:
        if "__init__" not in vars(kind):
            continue
        constructor = vars(kind)["__init__"]
        hints = get_type_hints(constructor)
        parameters = inspect.signature(constructor).parameters.values()
        for parameter in parameters:
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                found.setdefault(parameter.name, hints[parameter.name])
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def setting_defaults(name: str) -> dict[str, Any]:
    """What the model's settings are where nothing else is said; a class's own default comes before that of its base."""
    found: dict[str, Any] = {}
    for kind in MODELS[name].__mro__:
        if "__init__" in vars(kind):
            for parameter in inspect.signature(vars(kind)["__init__"]).parameters.values():
                if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                    found.setdefault(parameter.name, parameter.default)
    return {key: found[key] for key in setting_types(name)}


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is not None:  # Sequence[...]
        return isinstance(value, list | tuple) and all(_fits(item, get_args(kind)[0]) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def _described(kind: Any) -> str:
    return kind.__name__ if get_origin(kind) is None else f"list of {_described(get_args(kind)[0])}"
