"""Configuration of tuning: how many trials, drawn how, from which ranges."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.base import Section


class Range(Section):
    """Where a value is drawn from: `low` to `high` (whole numbers where both are), or `choices`."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    """Drawn evenly on a logarithmic scale."""
    choices: list[Any] = []

    @model_validator(mode="after")
    def _one_way(self) -> Range:
        bounds = self.low is not None and self.high is not None
        if bounds == bool(self.choices) or (self.choices and (self.low is not None or self.high is not None)):
            raise ValueError("a range has low and high, or choices")
        if self.choices and self.log:
            raise ValueError("choices are not drawn on a logarithmic scale")
        if self.low is not None and self.high is not None:
            if not self.low <= self.high:
                raise ValueError(f"low {self.low} is above high {self.high}")
            if self.log and self.low <= 0:
                raise ValueError(f"a logarithmic scale starts above 0, not at {self.low}")
        return self


def _tunable(key: str) -> str:
    """Raises ValueError for a key that is none of training or of the model."""
    if not re.fullmatch(r"(train|model\.settings)\.[a-z_0-9]+", key):
        raise ValueError(f"{key!r} cannot be tuned: write train.KEY or model.settings.KEY")
    return key


Space = dict[Annotated[str, AfterValidator(_tunable)], Range]


class Tune(Section):
    trials: int = Field(default=20, ge=1)
    """Of each model: all have the same budget."""
    sampler: Literal["tpe", "random"] = "tpe"
    """tpe: values are drawn where trials before did well (Optuna's tree-structured Parzen estimator)."""
    seed: int = 0
    """Of what is drawn; trainings have `train.seed`."""
    prune: bool = True
    """Trials whose validation AUC after an epoch is below the median of those before them at that epoch are stopped."""
    shared: Space = {}
    """What is drawn for every model: key -> range."""
    models: dict[str, Space] = {}
    """Of models by name, beside the above."""
