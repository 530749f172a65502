"""Configuration of a comparison: which models are trained beside each other."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from pipeline.config.base import Section
from pipeline.config.learning import Model
from pipeline.config.names import identifier


class Contender(Section):
    """A model of the comparison, and how its training differs from the `train` section."""

    model: Model
    train: dict[str, Any] = {}
    """Keys of `train` that are other for this model."""


class Compare(Section):
    models: dict[Annotated[str, AfterValidator(identifier)], Contender] = {}
    """Label -> contender, in the order of the tables."""
    ours: str | None = None
    """The label that the others are tested against (default: the first)."""
