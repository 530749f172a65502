"""The comparison in words: CSV with a row a model, seed and segment; Markdown; an HTML page with the plots."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.compare.chains import chain_parts
from pipeline.compare.cost_table import cost_parts
from pipeline.compare.markdown import markdown_table, spread
from pipeline.compare.passes import passes_csv
from pipeline.compare.plots import page
from pipeline.compare.relative import relative_parts
from pipeline.compare.statistics import Results, average_ranks, paired_tests
from pipeline.config.learning import Metric
from pipeline.evaluate.console import name_of
from pipeline.evaluate.page import HEADINGS
from pipeline.experiment_table import ORACLE, TABLE1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """metrics: by name, a value a seed (means over binary segments); the rest as in compare/cost.py."""

    metrics: Mapping[str, Sequence[float]]
    parameters: int
    network_parameters: int
    flops_per_row: float
    row_microseconds: float
    scoring_bytes: int
    training_bytes: int
    epoch_seconds: float
    passes: Sequence[Mapping[int, float]] = ()
    """For each seed: passes over the support -> validation AUC after them."""
    chains: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    """Link of a chain -> metric (evaluate/chains.py) -> a value a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is compared; models: the contenders by label, in order."""

    name: str
    seeds: Sequence[int]
    ours: str
    results: Results
    models: Mapping[str, ModelFacts]
    published: Mapping[str, Mapping[Metric, float]]
    baseline: str | None = None
    """The label that Table 1's relative columns are against; none: no such columns."""
    chain_references: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    """Baseline or oracle -> link -> metric -> value."""


def write_comparison(folder: Path, comparison: Comparison) -> str:
    """Write compare.csv, compare_passes.csv, compare.md and compare.html; return the Markdown."""
    text = as_markdown(comparison)
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        "compare.csv": _csv(comparison),
        "compare_passes.csv": passes_csv(comparison.models, comparison.seeds),
        "compare.md": text,
        "compare.html": page(comparison, text),
    }
    for name, content in written.items():
        temporary = folder / f".{name}.{os.getpid()}"
        temporary.write_text(content, encoding="utf-8")
        os.replace(temporary, folder / name)
    return text


def as_markdown(comparison: Comparison) -> str:
    """Mean AUC by group, tests and ranks; Table 1's metrics; cost."""
    count = len(comparison.seeds)
    parts = [
        f"# Models on {comparison.name}",
        f"Mean test AUC over segments, mean ± standard deviation over {count} seed{'s' * (count > 1)}. Paired "
        f"tests over segments against {comparison.ours}, Holm-corrected for all tests of the table: p of the t-test, "
        "p (ranks) of Wilcoxon's signed-rank test. Rank: mean over segments.",
        _auc_table(comparison),
        "Means over the binary segments. Log loss on decisions is how MetaCon's Table 1 has it, "
        "34.54 × (1 − accuracy).",
        _metrics_table(comparison),
        *relative_parts(comparison.models, comparison.baseline),
        *chain_parts(comparison.models, comparison.chain_references),
        *cost_parts(comparison.models, comparison.ours),
    ]
    return "\n\n".join(parts) + "\n"


def _auc_table(comparison: Comparison) -> str:
    results, ours = comparison.results, comparison.ours
    labels = list(results.auc)
    groups = ["all", *dict.fromkeys(results.groups)]
    tests = paired_tests(results, ours, [label for label in labels if label not in (ours, ORACLE)])
    ranks = average_ranks(results, [label for label in labels if label != ORACLE])
    head = [
        "model",
        *(f"{group} ({_count(results, group)})" for group in groups),
        "rank",
        "ours − it",
        "wins",
        "p",
        "p (ranks)",
    ]
    best = {
        group: max((float(results.by_seed(label, group).mean()) for label in labels if label != ORACLE), default=0.0)
        for group in groups
    }
    rows = []
    for label in labels:
        cells = []
        for group in groups:
            values = results.by_seed(label, group)
            text = spread(values)
            cells.append(f"**{text}**" if label != ORACLE and values.mean() == best[group] else text)
        row = [name_of(label), *cells, f"{ranks[label]:.1f}" if label in ranks else ""]
        if label in tests:
            test = tests[label]
            row += [f"{test.difference:+.4f}", f"{test.wins} of {test.wins + test.losses}"]
            row += [f"{test.p_value:.2g}", f"{test.rank_p_value:.2g}"]
        else:
            row += [""] * 4
        rows.append(row)
    return markdown_table(head, rows)


def _metrics_table(comparison: Comparison) -> str:
    names = [name for name in TABLE1 if any(name in facts.metrics for facts in comparison.models.values())]
    rows = [
        [label, *(spread(facts.metrics[name]) if name in facts.metrics else "" for name in names)]
        for label, facts in comparison.models.items()
    ]
    for label, figures in comparison.published.items():
        rows.append([label, *(f"{figures[name]:.4f}" if name in figures else "" for name in names)])
    return markdown_table(["model", *(HEADINGS[name] for name in names)], rows)


def _count(results: Results, group: str) -> int:
    return sum(group in ("all", one) for one in results.groups)


def _csv(comparison: Comparison) -> str:
    results, text = comparison.results, io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["model", "seed", "segment", "group", "auc"])
    for label, table in results.auc.items():
        seeds = comparison.seeds if label in comparison.models else [""]
        for seed, row in zip(seeds, table, strict=True):
            for segment, group, value in zip(results.segments, results.groups, row, strict=True):
                writer.writerow([label, seed, segment, group, f"{value:.6f}"])
    return text.getvalue()
