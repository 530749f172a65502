"""Configuration of online adaptation: which segments go on from the meta model, and for how long."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.base import Section

Rate = Annotated[float, Field(gt=0)]


class Adapt(Section):
    segments: list[str] = []
    """Empty: all binary ones."""
    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=512, ge=1)
    learning_rates: list[Rate] = Field(default=[1e-3, 3e-3, 1e-2], min_length=1)
    """Tried one after the other; validation picks one, or none of them."""
    margin: float = Field(default=2.0, ge=0)
    """An epoch counts where log loss on validation is lower by so many standard errors, and AUC higher."""
    max_rows: int = Field(default=4096, ge=2)
    """Of a segment's rows at most so many are used: positives first, up to half, the rest negatives that stand for all
    negatives."""
