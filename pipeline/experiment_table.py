"""The table of an experiment: AUC by group as mean ± standard deviation over seeds, gaps closed, sign test."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from pipeline import summary
from pipeline.config.learning import Metric
from pipeline.errors import UserError
from pipeline.layout import Layout

TABLE1: tuple[Metric, ...] = ("accuracy", "auc", "f1", "kappa", "log_loss", "log_loss_on_decisions")
"""The metrics of MetaCon's Table 1, its log loss in both readings."""
ORACLE, LOGISTIC = "oracle", "logistic_regression"
Results = Mapping[int, Sequence["SegmentResult"]]
"""By seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentResult:
    """One segment of one seed: the test AUC of the model, and of each reference (baselines, oracle) by name."""

    segment: str
    group: str
    model: float
    references: Mapping[str, float] = field(default_factory=dict)


def read_results(layout: Layout) -> list[SegmentResult]:
    """The binary segments of a run that evaluate has measured. Raises UserError where it has not."""
    segments = summary.read(layout, "evaluate").get("segments")
    if not segments:
        raise UserError(f"{layout.summaries}: no evaluation here; run the evaluate stage first")
    return [
        SegmentResult(
            segment=one["name"], group=one["group"], model=one["auc"], references=dict(one.get("references", {}))
        )
        for one in segments
        if one.get("auc") is not None and not np.isnan(one["auc"])
    ]


def write_table(folder: Path, results: Results, metrics: str = "") -> str:
    """Write experiment.csv (one row a seed and segment) and experiment.md; return the latter's text.

    metrics: what stands below the table, such as `metrics_table` gives.
    """
    names = reference_names(results)
    rows = [["seed", "segment", "group", "model", *names]]
    for seed, segments in results.items():
        for one in segments:
            cells = [f"{one.references[name]:.6f}" if name in one.references else "" for name in names]
            rows.append([str(seed), one.segment, one.group, f"{one.model:.6f}", *cells])
    folder.mkdir(parents=True, exist_ok=True)
    text = as_markdown(results) + metrics
    temporary = folder / f".experiment.{os.getpid()}"
    with temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    os.replace(temporary, folder / "experiment.csv")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, folder / "experiment.md")
    return text


def as_markdown(results: Results) -> str:
    """Mean test AUC by group, the share of each gap to the oracle that is closed, wins by segment."""
    references = reference_names(results)
    lines = [f"Test AUC, mean ± standard deviation over {len(results)} seeds", ""]
    lines += ["| segments | n | model | " + " | ".join(references) + " |", "|---" * (3 + len(references)) + "|"]
    groups = ["all", *sorted({one.group for segments in results.values() for one in segments})]
    for group in groups:
        model = mean_auc(results, group)
        count = max(len(_of_group(segments, group)) for segments in results.values())
        cells = [_spread(mean_auc(results, group, name)) for name in references]
        lines.append(f"| {group} | {count} | {_spread(model)} | " + " | ".join(cells) + " |")
    lines.append("")
    baselines = [name for name in references if name != ORACLE]
    if ORACLE in references:
        for group in groups:
            for name in baselines:
                lines.append(
                    f"- {group}: {_spread(gap_closed(results, group, name), 3)} of the gap {name} → oracle closed"
                )
    for name in baselines:
        wins, losses, p_value = sign_test(results, name)
        lines.append(
            f"- above {name} on {wins} of {wins + losses} segments (mean AUC over seeds; sign test p = {p_value:.2g})"
        )
    return "\n".join(lines) + "\n"


def metrics_table(of_seeds: Sequence[Mapping[str, float]], published: Mapping[str, Mapping[Metric, float]]) -> str:
    """The metrics of MetaCon's Table 1, means over the binary segments, beside figures of others; empty without any."""
    names = [name for name in TABLE1 if of_seeds and all(name in one for one in of_seeds)]
    if not names or not published:
        return ""
    rows = [("model", [_spread([one[name] for one in of_seeds]) for name in names])]
    rows += [(who, [f"{of[name]:.4f}" if name in of else "" for name in names]) for who, of in published.items()]
    lines = ["", "| | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * (1 + len(names)) + "|"]
    return "\n".join(lines + [f"| {who} | " + " | ".join(cells) + " |" for who, cells in rows]) + "\n"


def reference_names(results: Results) -> list[str]:
    """The baselines by name, then the oracle."""
    names = {name for segments in results.values() for one in segments for name in one.references}
    return sorted(names, key=lambda name: (name == ORACLE, name != LOGISTIC, name))


def mean_auc(results: Results, group: str, reference: str | None = None) -> list[float]:
    """For each seed the mean AUC over a group's segments, of the model or a reference; NaN where there is none."""
    means = []
    for segments in results.values():
        values = [_value(one, reference) for one in _of_group(segments, group)]
        known = [value for value in values if not np.isnan(value)]
        means.append(float(np.mean(known)) if known else float("nan"))
    return means


def gap_closed(results: Results, group: str, baseline: str) -> list[float]:
    """For each seed (model - baseline) / (oracle - baseline), of the group's mean AUCs."""
    triples = zip(
        mean_auc(results, group), mean_auc(results, group, baseline), mean_auc(results, group, ORACLE), strict=True
    )
    return [(model - low) / (high - low) if high != low else float("nan") for model, low, high in triples]


def sign_test(results: Results, baseline: str) -> tuple[int, int, float]:
    """Segments above and below a baseline by their mean over seeds (ties left out), and the two-sided p-value."""
    differences: dict[str, list[float]] = {}
    for segments in results.values():
        for one in segments:
            differences.setdefault(one.segment, []).append(one.model - _value(one, baseline))
    means = [float(np.mean(values)) for values in differences.values()]
    wins, losses = sum(mean > 0 for mean in means), sum(mean < 0 for mean in means)
    return wins, losses, float(binomtest(wins, wins + losses).pvalue) if wins + losses else float("nan")


def _of_group(segments: Sequence[SegmentResult], group: str) -> list[SegmentResult]:
    return [one for one in segments if group in ("all", one.group)]


def _value(one: SegmentResult, reference: str | None) -> float:
    return one.model if reference is None else one.references.get(reference, float("nan"))


def _spread(values: Sequence[float], digits: int = 4) -> str:
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"
