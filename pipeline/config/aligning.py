"""Configuration of align: splits, masks, shards."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.checked import Fraction


class SplitBy(Section):
    """A split that the data brings along: entities whose `column` in `source` is one of `query` are the query split."""

    source: str
    column: str
    query: list[str]


class SplitKey(Section):
    """A split by hash of a column in place of the entity: those of the same value are in the same split."""

    source: str
    column: str


class Split(Section):
    query: Fraction = 1 / 3
    validation: Fraction = 0.1
    """Share of the support that becomes validation."""
    seed: int = 0
    by: SplitBy | None = None
    key: SplitKey | None = None
    """Entities that belong together, such as the pairs (user, item) of one user, are in one split. An entity without a
    value stands for itself."""

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        if self.by is not None and self.key is not None:
            raise ValueError("by and key exclude each other: by brings the query split along, key is hashed for one")
        return self


class Masks(Section):
    implication: bool = True
    """Test every concept for implying a label."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Family-wise error: a concept counts as implying when chance purity < alpha / vocabulary size."""
    near_purity: float = Field(default=0.9, gt=0, le=1)
    """Concepts of whose carriers at least this share are positive, by no chance, and that no mask holds back are
    listed in the table `near_deterministic`, for a person to judge."""
    near_carriers: int = Field(default=20, ge=1)
    """So many carriers in the support make a concept worth listing."""


class Shards(Section):
    rows_per_group: int = Field(default=8192, ge=1)
    """Rows of a Parquet row group: what a reader holds at once and shuffles within."""
    rows_per_file: int = Field(default=262144, ge=1)
    seed: int = 0
    """Of the order in which rows are mixed."""


class Align(Section):
    split: Split = Split()
    masks: Masks = Masks()
    shards: Shards = Shards()
    on_degenerate: Literal["skip", "fail"] = "fail"
    """A segment with no positives or only one class in the support: leave it out, or stop."""
