"""Configuration of soft targets: what classical models of each segment teach the model of all."""

from __future__ import annotations

from pydantic import Field

from pipeline.config.base import Section


class Teach(Section):
    """Read where `train.targets` is soft."""

    weight: float = Field(default=0.9, ge=0, le=1)
    """The target is this share of what the teachers say and the rest of the label."""
    folds: int = Field(default=5, ge=2)
    """The support is cut into so many; what is said of each is said by teachers that were fitted to the others."""
    max_rows: int = Field(default=500_000, ge=1)
    """Of the support, which is held in memory; more are refused."""
