"""Raw file formats that are made into events first."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.base import Section


class Pairs(Section):
    """prepare.dataset ml1m: which pairs (user, movie) are taken of the ratings."""

    users: int = Field(default=1000, ge=1)
    ratings: int = Field(default=30, ge=1)
    """At most so many rated movies of a user."""
    negatives: int = Field(default=1, ge=1)
    """So many unrated movies for each rated one."""
    seed: int = 0


class Prepare(Section):
    """A raw file format that Spark cannot read by itself, made into events first."""

    dataset: Literal["none", "adult", "a9a", "ml1m"] = "none"
    pairs: Pairs = Pairs()
    """ml1m: which pairs are made of the ratings."""

    @model_validator(mode="after")
    def _pairs_of_ml1m(self) -> Prepare:
        if self.dataset != "ml1m" and self.pairs != Pairs():
            raise ValueError(f"prepare.pairs is for dataset ml1m, not {self.dataset}")
        return self
