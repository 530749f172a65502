"""MetaCon's Table 1 in its own form: what a model changes relative to a baseline, metric by metric, and overall."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.compare.markdown import markdown_table
from pipeline.config.learning import Metric
from pipeline.evaluate.page import HEADINGS, LOWER_IS_BETTER

if TYPE_CHECKING:
    from pipeline.compare.table import ModelFacts

METRICS: tuple[Metric, ...] = ("accuracy", "auc", "f1", "kappa", "log_loss_on_decisions")


def relative_changes(metrics: Mapping[str, Sequence[float]], of: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Metric -> (mean - baseline's mean) / baseline's mean. metrics, of: a value a seed of the model, the baseline."""
    means = {name: (np.mean(metrics[name]), np.mean(of[name])) for name in METRICS if name in metrics and name in of}
    return {name: float((mine - base) / base) if base else math.nan for name, (mine, base) in means.items()}


def overall(changes: Mapping[str, float]) -> float:
    """The sum over metrics of the changes, that of a loss with its sign turned: above 0 is better in sum."""
    return sum(-change if name in LOWER_IS_BETTER else change for name, change in changes.items())


def relative_parts(models: Mapping[str, ModelFacts], baseline: str | None) -> list[str]:
    """A paragraph and a table; nothing without the baseline."""
    if baseline is None or baseline not in models or not models[baseline].metrics:
        return []
    rows = []
    for label, facts in models.items():
        if label != baseline:
            changes = relative_changes(facts.metrics, models[baseline].metrics)
            shown = [f"{100 * changes[name]:+.2f} %" if name in changes else "" for name in METRICS]
            rows.append([label, *shown, f"{100 * overall(changes):+.2f} %"])
    said = f"The same relative to {baseline}, as in Table 1; overall: their sum, with the sign of a loss turned."
    return [said, markdown_table(["model", *(HEADINGS[name] for name in METRICS), "overall"], rows)]
