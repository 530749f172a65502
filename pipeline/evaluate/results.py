"""What was measured: one record a segment, means by group, the share of the gap closed, the sign test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import binomtest

from pipeline.evaluate.metrics import BINARY, binary_metrics, mean, mean_of, multiclass_metrics, regression_metrics
from pipeline.evaluate.predict import TaskScores
from pipeline.shards.manifest import TaskEntry

MODEL, ORACLE = "model", "oracle"
GROUPS = ("large", "mid", "niche")
"""In this order in tables; groups of other names come after them."""
OF_SCORES = ("auc", "log_loss", "ece", "average_precision")
"""Of binary segments, those that need no threshold: what is told of the oracle, for which none is chosen."""
Metrics = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentResult:
    """A segment on the query split: metrics by who scored it (model, baselines, oracle)."""

    name: str
    kind: str
    group: str
    support_rows: int
    support_positives: int
    query_rows: int
    query_positives: int
    threshold: float | None = None
    metrics: Mapping[str, Metrics] = field(default_factory=dict)
    reach: Mapping[str, float] = field(default_factory=dict)
    """scored, selected, mean_score over all entities; empty where the score stage has not run."""

    def value(self, who: str, metric: str = "auc") -> float:
        return self.metrics.get(who, {}).get(metric, float("nan"))


def measure(kind: str, pairs: TaskScores, threshold: float | None) -> Metrics:
    """The metrics of a kind of task."""
    if not len(pairs.labels):
        return {}
    if kind == "binary":
        return binary_metrics(pairs.labels, pairs.scores, 0.5 if threshold is None else threshold)
    if kind == "multiclass":
        return multiclass_metrics(pairs.labels.astype(int), pairs.scores)
    return regression_metrics(pairs.labels, pairs.scores)


def segment_result(
    entry: TaskEntry,
    pairs: TaskScores,
    threshold: float | None,
    metrics: Mapping[str, Metrics],
    reach: Mapping[str, Any],
) -> SegmentResult:
    """One segment's record. Positives are counted for binary segments; else they are the pairs."""
    return SegmentResult(
        name=entry.name,
        kind=entry.kind,
        group=entry.group,
        support_rows=entry.pairs.get("support", 0),
        support_positives=entry.positives.get("support", 0),
        query_rows=len(pairs.labels),
        query_positives=int(pairs.labels.sum()) if entry.kind == "binary" else len(pairs.labels),
        threshold=threshold,
        metrics=metrics,
        reach={name: reach[name] for name in ("scored", "selected", "mean_score") if reach.get(name) is not None},
    )


def summarise(results: Sequence[SegmentResult], baselines: Sequence[str]) -> dict[str, Any]:
    """Means over the binary segments of each group and of all; wins by segment; means of the other kinds."""
    binary = [one for one in results if one.kind == "binary"]
    groups = {name: [one for one in binary if one.group == name] for name in groups_of(binary)}
    facts: dict[str, Any] = {"segments": len(results), "baselines": list(baselines), "groups": {}}
    for name, members in {"all": binary, **groups}.items():
        if members:
            facts["groups"][name] = _group(members, baselines)
    facts["wins"] = {name: sign_test(binary, name) for name in baselines} if binary else {}
    for kind, names in (("multiclass", ("accuracy", "auc", "log_loss")), ("regression", ("mae", "rmse", "r2"))):
        members = [one for one in results if one.kind == kind]
        if members:
            facts[kind] = _means(members, [MODEL, *baselines], names) | {"segments": len(members)}
    return facts


def groups_of(results: Sequence[SegmentResult]) -> list[str]:
    """The groups of these segments, in the order of tables."""
    found = {one.group for one in results}
    return [*(name for name in GROUPS if name in found), *sorted(found - set(GROUPS))]


def _group(members: Sequence[SegmentResult], baselines: Sequence[str]) -> dict[str, Any]:
    means = _means(members, [MODEL, *baselines, ORACLE], BINARY)
    facts: dict[str, Any] = {"segments": len(members), **means}
    known = {name: means[name]["auc"] for name in baselines if name in means}
    if ORACLE in means and known:
        best = max(known, key=lambda name: known[name])
        oracle, model = means[ORACLE]["auc"], means[MODEL]["auc"]
        facts["gap_closed"] = {name: gap_closed(model, low, oracle) for name, low in known.items()}
        facts["best_baseline"] = best
    return facts


def _means(members: Sequence[SegmentResult], whos: Sequence[str], names: Sequence[str]) -> dict[str, Metrics]:
    """Over the segments all of them have metrics for, so that the means compare like with like."""
    present = [who for who in whos if any(who in one.metrics for one in members)]
    common = [one for one in members if all(who in one.metrics for who in present)]
    return {who: mean_of([one.metrics[who] for one in common], names) for who in present}


def gap_closed(model: float, baseline: float, oracle: float) -> float:
    """(model - baseline) / (oracle - baseline); NaN where the baseline leaves no gap."""
    return (model - baseline) / (oracle - baseline) if oracle > baseline else float("nan")


def sign_test(results: Sequence[SegmentResult], baseline: str, metric: str = "auc") -> dict[str, float]:
    """On how many segments the model is above a baseline, below and level, and the two-sided p of the sign test.

    Segments where either has no value are left out, ties from the test.
    """
    differences = np.array([one.value(MODEL, metric) - one.value(baseline, metric) for one in results])
    differences = differences[~np.isnan(differences)]
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    return {
        "wins": wins,
        "losses": losses,
        "ties": len(differences) - wins - losses,
        "p_value": float(binomtest(wins, wins + losses).pvalue) if wins + losses else float("nan"),
        "mean_difference": mean(differences),
    }
