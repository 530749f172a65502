"""The configuration of each contender."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from models.mixture import ExpertMixture
from models.registry import MODELS
from pipeline.config import Config
from pipeline.config.comparing import Compare, Contender
from pipeline.config.learning import Score, Train
from pipeline.config.merge import merge
from pipeline.config.tuning import Tune
from pipeline.errors import UserError
from pipeline.experiment import with_seed
from pipeline.layout import Layout
from pipeline.runs import in_folder
from pipeline.train.build import check_model

logger = logging.getLogger(__name__)


def contenders(config: Config, labels: Sequence[str] = ()) -> list[str]:
    """The labels to compare, in the configuration's order; `labels`: only these.

    Raises UserError where there are none, or a label is not declared.
    """
    declared = list(config.compare.models)
    if not declared:
        raise UserError("compare.models is empty: name at least one model, as in conf/compare/adult68.yaml")
    unknown = [label for label in labels if label not in declared]
    if unknown:
        raise UserError(f"compare.models has no {', '.join(unknown)}; it has {', '.join(declared)}")
    for key in ("ours", "baseline"):
        named = getattr(config.compare, key)
        if named is not None and named not in declared:
            raise UserError(f"compare.{key}: {named} is none of compare.models ({', '.join(declared)})")
    return [label for label in declared if not labels or label in labels]


def contender_config(config: Config, label: str, seed: int) -> Config:
    """What is run for a label and seed, in a folder of its own. Raises UserError for keys that `train` has not."""
    contender = config.compare.models[label]
    values = tuned_values(config, label)
    if values:
        contender = contender.with_values(values)
    chosen = as_configured(config, label, contender)
    # What does not make this run is left out, so that it is not run again where only that changes.
    alone = chosen.model_copy(update={"compare": Compare(), "tune": Tune(), "score": Score()})
    return with_seed(in_folder(alone, f"compare/{label}/{seed}"), seed)


def as_configured(config: Config, label: str, contender: Contender) -> Config:
    """The configuration with a contender's model and training. Raises UserError for keys that they have not."""
    try:
        train = Train.model_validate(merge(config.train.model_dump(), contender.train))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"compare.models.{label}.train.{key}: {first['msg']}") from None
    chosen = config.model_copy(update={"model": contender.model, "train": train})
    check_model(chosen)
    if contender.adapt and not issubclass(MODELS[contender.model.name], ExpertMixture):
        raise UserError(f"compare.models.{label}.adapt: a {contender.model.name} cannot be; metaaug and mmoe can")
    if contender.adapt and config.chains:
        raise UserError(f"compare.models.{label}.adapt: a segment goes on by its own labels and knows no chains")
    return chosen


def tuned_values(config: Config, label: str) -> dict[str, Any]:
    """What `compare.tuned` has for a label; nothing where there is no file. Raises UserError for other content."""
    if config.compare.tuned is None:
        return {}
    path = Path(Layout.of(config).resolve(config.compare.tuned)) / f"{label}.yaml"
    if not path.is_file():
        logger.warning("%s: no such file; %s is not tuned", path, label)
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {error}") from None
    model = values.get("model", {}) if isinstance(values, dict) else None
    parts = [model.get("settings", {}), values.get("train", {})] if isinstance(model, dict) else [None]
    known = isinstance(model, dict) and set(values) <= {"model", "train"} and set(model) <= {"settings"}
    if not known or not all(isinstance(part, dict) for part in parts):
        raise UserError(f"{path}: write it as `jobs.tune` does, {{model: {{settings: …}}, train: …}}")
    return dict(values)
