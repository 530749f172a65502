"""The report: one HTML file that needs nothing else, no network and no script; segments.csv; metrics.json."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from numpy.typing import NDArray

from pipeline import summary
from pipeline.evaluate import data_plots, history_plots, plots
from pipeline.evaluate.attention_plot import attention_plot
from pipeline.evaluate.console import sentences
from pipeline.evaluate.data_tables import drift_table, missing_table
from pipeline.evaluate.page import (
    cards,
    chains_table,
    mean_tables,
    small_tables,
    sources,
    training,
)
from pipeline.evaluate.predict import TaskScores
from pipeline.evaluate.results import SegmentResult
from pipeline.evaluate.segments_table import in_order, segments_table
from pipeline.evaluate.selection import Selection
from pipeline.evaluate.selection_plot import selection_plot
from pipeline.layout import Layout
from pipeline.metricslog import read_log
from pipeline.modelfolder import LoadedModel

THRESHOLD_FOR = {
    "f1": "chosen on validation for the best F1",
    "accuracy": "chosen on validation for the best accuracy",
    "kappa": "chosen on validation for the best kappa",
    "prevalence": "chosen on validation for the best match of the share of positives",
    "half": "of one half",
}
_STAGES = ("simulate", "prepare", "unfold", "profile", "align", "train", "score", "evaluate")


@dataclass(frozen=True, slots=True)
class Looks:
    """What the model looks at. gates [tasks, experts]: mean shares; attention [tasks, tasks]; APEM's selection."""

    gates: NDArray | None
    attention: NDArray
    selection: Selection | None


def write_report(
    layout: Layout,
    name: str,
    loaded: LoadedModel,
    results: Sequence[SegmentResult],
    facts: Mapping[str, Any],
    scores: Mapping[str, Sequence[TaskScores]],
    looks: Looks,
    threshold_for: str,
) -> Path:
    """Write report.html, segments.csv, attention.csv and metrics.json, each in one step.

    Returns the path of the first.
    """
    baselines = facts["baselines"]
    summaries = {stage: summary.read(layout, stage) for stage in _STAGES}
    drawn = _plots(layout, results, baselines, scores, summaries) | _inside(results, looks)
    drift = drift_table(summaries["profile"])
    page = _template().render(
        title=f"MetaCon: {name}",
        model_version=loaded.version,
        architecture=loaded.spec.architecture.name,
        code_version=loaded.spec.code_version or "unknown",
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        query_rows=facts["query_rows"],
        contents=_contents(drawn | {"chains": facts.get("chains"), "drift": drift}),
        cards=cards(facts, summaries["score"]),
        sentences=sentences(facts),
        mean_tables=mean_tables(facts),
        chains=chains_table(facts),
        threshold_for=THRESHOLD_FOR[threshold_for],
        segments=segments_table(results, baselines),
        plots=drawn,
        training=training(summaries["train"]),
        sources=sources(summaries["unfold"]),
        small_tables=small_tables(summaries),
        drift=drift,
        missing=missing_table(summaries["unfold"]),
    )
    layout.report.mkdir(parents=True, exist_ok=True)
    _replace(layout.report / "segments.csv", _segments_csv(results))
    metrics = {**facts, "model_version": loaded.version, "per_segment": [_record(one) for one in results]}
    _replace(layout.report / "attention.csv", _attention_csv([one.name for one in results], looks.attention))
    _replace(layout.report / "metrics.json", json.dumps(finite(metrics), indent=1) + "\n")
    _replace(layout.report / "report.html", page)
    return layout.report / "report.html"


def finite(value: Any) -> Any:
    """The same with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _template() -> jinja2.Template:
    text = resources.files(__package__).joinpath("template.html").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(text)


def _plots(
    layout: Layout,
    results: Sequence[SegmentResult],
    baselines: Sequence[str],
    scores: Mapping[str, Sequence[TaskScores]],
    summaries: Mapping[str, Mapping[str, Any]],
) -> dict[str, str | None]:
    binary = [one for one in results if one.kind == "binary"]
    curves = plots.Curves(results, scores)
    timings = summary.read(layout, "timings") or {
        stage: float(facts["seconds"]) for stage, facts in summaries.items() if facts.get("seconds")
    }
    return {
        "segments": plots.segments_plot(results, baselines) if binary else None,
        "gain": plots.gain_plot(results, baselines) if binary and baselines else None,
        "curves": plots.curves_plot(curves) if binary else None,
        "calibration": plots.calibration_plot(curves) if binary else None,
        "training": history_plots.training_plot(read_log(layout.train_log)),
        "events": history_plots.events_plot(summaries["unfold"].get("sources", {})),
        "fields": history_plots.fields_plot(summaries["unfold"].get("fields", {})),
        "by_day": data_plots.by_day_plot(summaries["unfold"], summaries["profile"]),
        "growth": data_plots.growth_plot(summaries["profile"]),
        "drift": data_plots.drift_plot(summaries["profile"]),
        "timings": history_plots.timings_plot(timings),
    }


def _inside(results: Sequence[SegmentResult], looks: Looks) -> dict[str, str | None]:
    gates = looks.gates
    return {
        "gates": plots.gates_plot(results, gates) if gates is not None and gates.shape[1] > 1 else None,
        "attention": attention_plot([one.name for one in results], looks.attention),
        "selection": None if looks.selection is None else selection_plot(looks.selection),
    }


def _contents(drawn: Mapping[str, Any]) -> list[tuple[str, str]]:
    sections = [
        ("groups", "Means"),
        ("chains", "Chains"),
        ("segments", "Segments"),
        ("curves", "ROC"),
        ("calibration", "Calibration"),
    ]
    sections += [("gates", "Experts"), ("attention", "Attention"), ("selection", "Selector")]
    sections += [("training", "Training"), ("data", "Data"), ("drift", "Drift"), ("timings", "Timings")]
    return [one for one in sections if one[0] in ("groups", "segments", "data") or drawn.get(one[0])]


def _record(one: SegmentResult) -> dict[str, Any]:
    names = ("name", "kind", "group", "support_rows", "support_positives", "query_rows", "query_positives", "threshold")
    return {name: getattr(one, name) for name in names} | {"metrics": one.metrics, "reach": dict(one.reach)}


def _segments_csv(results: Sequence[SegmentResult]) -> str:
    """One row a segment; a column a metric of whoever scored it."""
    rows = []
    for one in in_order(results):
        row = {key: value for key, value in _record(one).items() if key not in ("metrics", "reach")}
        row |= {f"{who}_{name}": value for who, metrics in one.metrics.items() for name, value in metrics.items()}
        rows.append(finite(row | dict(one.reach)))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _attention_csv(names: Sequence[str], attention: NDArray) -> str:
    """A row a segment that loses, a column a segment whose mask is hidden."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["segment", *names])
    writer.writerows([name, *(f"{value:.6g}" for value in row)] for name, row in zip(names, attention, strict=True))
    return buffer.getvalue()


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
