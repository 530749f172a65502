"""Configuration of a comparison: which models are trained beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from pipeline.config.base import Section
from pipeline.config.learning import Model
from pipeline.config.merge import merge
from pipeline.config.names import identifier


class Contender(Section):
    """A model of the comparison, and how its training differs from the `train` section."""

    model: Model
    train: dict[str, Any] = {}
    """Keys of `train` that are other for this model."""
    adapt: bool = False
    """Segments go on from the trained model, one by one (`adapt`), before it is evaluated: metaaug and mmoe only."""

    def with_values(self, values: Mapping[str, Any]) -> Contender:
        """The contender with other values, written as it is: {model: {settings: …}, train: …}."""
        settings = self.model.settings | values.get("model", {}).get("settings", {})
        model = self.model.model_copy(update={"settings": settings})
        return self.model_copy(update={"model": model, "train": merge(self.train, values.get("train", {}))})


class Compare(Section):
    models: dict[Annotated[str, AfterValidator(identifier)], Contender] = {}
    """Label -> contender, in the order of the tables."""
    ours: str | None = None
    """The label that the others are tested against (default: the first)."""
    baseline: str | None = None
    """The label that a table of relative changes is against, as MetaCon's Table 1 is against WDL; none: no table."""
    tuned: str | None = None
    """A folder of `LABEL.yaml` as `jobs.tune` writes them: their values over those above. A contender without a file
    stays as it is, and that is said."""
