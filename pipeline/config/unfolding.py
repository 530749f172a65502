"""Configuration of unfold: time, weights, vocabulary, data profile."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.checked import Instant


class Vocabulary(Section):
    min_entities: int = Field(default=5, ge=1)
    """Concepts of fewer entities are dropped (exact vocabulary)."""
    kind: Literal["exact", "hashed"] = "exact"
    bits: int = Field(default=20, ge=4, le=30)
    """hashed: concept ids are xxhash64 into 2^bits."""
    min_share: float = Field(default=0.0, ge=0, lt=1)
    """Concepts of less than this share of the entities are dropped, too (exact vocabulary)."""
    max_share: float = Field(default=1.0, gt=0, le=1)
    """Concepts of more than this share of the entities are dropped (exact vocabulary)."""

    ids: Literal["dense", "stable"] = "dense"
    """Of an exact vocabulary. dense: made anew, 0..V-1 by descending number of entities. stable: concepts of the
    vocabulary that stands keep their ids, whatever became of them, and new ones come after it, so that a model trained
    on it can score what is unfolded later. One run with dense makes a new, compact one."""

    @model_validator(mode="after")
    def _exact(self) -> Vocabulary:
        if self.kind == "hashed" and self.ids == "stable":
            raise ValueError("ids: stable is for the exact vocabulary: a hashed concept has the same id in every run")
        if self.kind == "hashed" and (self.max_share < 1 or self.min_share > 0):
            raise ValueError("min_share and max_share are for the exact vocabulary: a hashed one keeps every concept")
        if self.min_share >= self.max_share:
            raise ValueError(f"min_share {self.min_share} is not below max_share {self.max_share}: no concept is left")
        return self


class DataProfile(Section):
    """What is counted of the data besides the rows, for the report."""

    drift: bool = False
    """Entities, concepts and new concepts by day; rows without a value; drift (PSI) of every field within the feature
    window, and since the run before in the same working folder."""
    top: int = Field(default=50, ge=1, le=500)
    """PSI is over so many most frequent concepts of a field, and the rest."""
    periods: int = Field(default=8, ge=2, le=31)
    """The feature window is cut into so many periods at most, of whole days, each with its own drift."""


class Unfold(Section):
    start: Instant | None = None
    """Features come from [start, cutoff); none: from the first event on."""
    cutoff: Instant | None = None
    """Features are before, labels from the cutoff on; none only where every source is static."""
    cutoffs: list[Instant] = []
    """Several cutoffs in place of `cutoff`, which is then the latest: a row for each entity and cutoff, with the id
    `entity@2026-03-01T00:00:00`, features before it and labels from it on (pipeline/examples.py)."""
    horizon_days: float = Field(default=7, gt=0)
    """Labels come from [cutoff, cutoff + horizon)."""
    transform: Literal["none", "log1p", "tfidf"] = "log1p"
    """Of the aggregated weights; tfidf: log1p times the inverse document frequency in the support."""
    normalise: Literal["none", "field"] = "none"
    """field: an entity's weights of each field are divided by their Euclidean norm, after the transform and the rules'
    max_concepts."""
    max_concepts: int | None = Field(default=None, ge=1)
    """An entity keeps its so many heaviest concepts, by their final weight; of equal ones those of lower id."""
    vocabulary: Vocabulary = Vocabulary()
    max_fanout: int = Field(default=10_000_000, ge=1)
    """A meta-path that would lead this many paths through one node (those that arrive times those that leave) is
    refused, and so is a SPARQL join that would make as many rows of one value: no hub makes the work explode."""
    salt: int = Field(default=8, ge=1)
    """A vocabulary too large to be sent to every executor is joined with this many salts, so that a concept which
    everyone has does not hold a task up."""
    profile: DataProfile = DataProfile()

    @model_validator(mode="after")
    def _several_cutoffs(self) -> Unfold:
        if not self.cutoffs:
            return self
        if list(self.cutoffs) != sorted(set(self.cutoffs)):
            raise ValueError("unfold.cutoffs: each once, in the order of time")
        if self.cutoff not in (None, self.cutoffs[-1]):
            raise ValueError("unfold.cutoffs stands in place of unfold.cutoff: give one of them")
        object.__setattr__(self, "cutoff", self.cutoffs[-1])
        return self
