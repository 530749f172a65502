"""How good a model is after each pass over the support (MetaCon Fig 7), by its log; on validation."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pipeline.compare.table import ModelFacts


def passes_of(log: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Passes -> mean validation AUC over segments; 0: before the first step. Without those that could not be judged."""
    kinds = {"start": lambda line: 0, "epoch": lambda line: line["epoch"] + 1}
    found = {kinds[line["kind"]](line): line for line in log if line.get("kind") in kinds}
    means = {passes: line["validation"].get("mean") for passes, line in sorted(found.items())}
    return {passes: float(mean) for passes, mean in means.items() if mean is not None}


def mean_curve(of_seeds: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Over the seeds that got so far (patience may stop some before others)."""
    every = sorted({passes for one in of_seeds for passes in one})
    return {passes: float(np.mean([one[passes] for one in of_seeds if passes in one])) for passes in every}


def passes_csv(models: Mapping[str, ModelFacts], seeds: Sequence[int]) -> str:
    """A row a model, seed and number of passes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["model", "seed", "passes", "validation_auc"])
    for label, facts in models.items():
        for seed, curve in zip(seeds, facts.passes, strict=True):
            writer.writerows([label, seed, passes, f"{value:.6f}"] for passes, value in curve.items())
    return text.getvalue()
