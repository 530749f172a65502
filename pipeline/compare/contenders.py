"""The configuration of each contender."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from pipeline.config import Config
from pipeline.config.learning import Train
from pipeline.errors import UserError
from pipeline.experiment import with_seed
from pipeline.runs import in_folder
from pipeline.train.build import check_model


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
    ours = config.compare.ours
    if ours is not None and ours not in declared:
        raise UserError(f"compare.ours: {ours} is none of compare.models ({', '.join(declared)})")
    return [label for label in declared if not labels or label in labels]


def contender_config(config: Config, label: str, seed: int) -> Config:
    """What is run for a label and seed, in a folder of its own. Raises UserError for keys that `train` has not."""
    contender = config.compare.models[label]
    try:
        train = Train.model_validate(config.train.model_dump() | contender.train)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"compare.models.{label}.train.{key}: {first['msg']}") from None
    chosen = config.model_copy(update={"model": contender.model, "train": train})
    check_model(chosen)
    return with_seed(in_folder(chosen, f"compare/{label}/{seed}"), seed)
