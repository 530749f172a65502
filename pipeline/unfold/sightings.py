"""When concepts were seen: in which spans of the feature window, and in how many rows of each of its periods.

It rides on the aggregation that names the concepts (vocabulary.named_concepts): no pass over the rows of its own. What
comes to the driver is bounded by fields, days and `unfold.profile.top`, never by the number of concepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from pipeline.config.unfolding import DataProfile
from pipeline.unfold.associations import DAY
from pipeline.unfold.drift import drift_within, noise, psi
from pipeline.unfold.fields import Field
from pipeline.unfold.spans import Spans, first_in, spans_in

_SEEN = "_seen"
_ALL = -1
PROFILE = "profile"
"""The summary that these facts are in."""
Top = dict[str, dict[str, int]]
"""By field its most frequent concepts and their rows."""


def aggregates(spans: Spans, most_periods: int) -> list[Column]:
    """Of rows with the column `DAY`, by concept: the spans it was seen in, its rows, and those of each period."""
    number = spans.number(F.col(DAY))
    columns = [F.bit_or(spans.bit(F.col(DAY))).alias(_SEEN), F.count("*").alias("_rows")]
    for place, period in enumerate(spans.periods(most_periods)):
        inside = number.between(period.start, period.stop - 1)
        columns.append(F.count_if(inside).alias(f"_period_{place}"))
    return columns


def counts_by_field(
    named_df: DataFrame, spans: Spans, bounds: tuple[int, int]
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, dict[str, int]]]]:
    """By field the sums of the rows, of all and of each period; and by field and day the concepts `seen`, those that
    are `new` (seen for the first time in the window), `new_kept` (whose number of entities is within `bounds`).

    named_df: field, entities and `aggregates`.
    """
    counts = _counts(named_df)
    # A concept stands for all its rows as the span -1, and for each span that it was seen in.
    marked = F.concat(F.array(F.lit(_ALL)), F.coalesce(spans_in(F.col(_SEEN)), F.array().cast("array<int>")))
    kept = F.col("entities").between(*bounds).alias("kept")
    first = first_in(F.col(_SEEN)).alias("first")
    each_df = named_df.select("field", kept, first, *counts, F.explode(marked).alias("span"))
    new = F.col("span") == F.col("first")
    grouped_df = each_df.groupBy("field", "span").agg(
        F.count("*").alias("seen"),
        F.count_if(new).alias("new"),
        F.count_if(new & F.col("kept")).alias("new_kept"),
        *(F.sum(name).alias(name) for name in counts),
    )
    labels = spans.labels
    totals: dict[str, dict[str, int]] = {}
    found: dict[str, dict[str, dict[str, int]]] = {}
    for row in sorted(grouped_df.collect(), key=lambda row: (row["field"], row["span"])):
        if row["span"] == _ALL:
            totals[row["field"]] = {name: row[name] for name in counts}
        else:
            by_day = found.setdefault(row["field"], {})
            by_day[labels[row["span"]]] = {name: row[name] for name in ("seen", "new", "new_kept")}
    return totals, found


def _counts(named_df: DataFrame) -> list[str]:
    return [name for name in named_df.columns if name == "_rows" or name.startswith("_period_")]


def field_drift(named_df: DataFrame, totals: Mapping[str, Mapping[str, int]], top: int) -> tuple[dict[str, Any], Top]:
    """Drift of every field within the window (drift.py), and its most frequent concepts.

    named_df: concept, field and `aggregates`; totals: their sums by field.
    """
    counts = _counts(named_df)
    # Spark keeps only the first `top` rows of each task before it brings a field together.
    frequent = Window.partitionBy("field").orderBy(F.desc("_rows"), F.col("concept"))
    ranked_df = named_df.withColumn("_rank", F.row_number().over(frequent)).where(F.col("_rank") <= top)
    own: dict[str, list[Row]] = {field: [] for field in totals}
    for row in ranked_df.select("field", "concept", "_rank", *counts).collect():
        own[row["field"]].append(row)
    drift: dict[str, Any] = {}
    found: Top = {}
    for field, total in totals.items():
        rows = sorted(own[field], key=lambda row: row["_rank"])
        by_period = [
            [*(row[name] for row in rows), total[name] - sum(row[name] for row in rows)] for name in counts[1:]
        ]
        covered = sum(row["_rows"] for row in rows)
        drift[field] = {**drift_within(by_period), "rows": total["_rows"], "top_share": covered / total["_rows"]}
        found[field] = {row["concept"]: row["_rows"] for row in rows}
    return drift, found


def drift_since(
    named_df: DataFrame,
    totals: Mapping[str, Mapping[str, int]],
    before: Mapping[str, Mapping[str, int]],
    before_rows: Mapping[str, int],
) -> dict[str, dict[str, float | None]]:
    """`psi` and `noise` of every field since another run, whose most frequent concepts (`Top`) and all rows of each
    field `before` and `before_rows` are. Empty where there was none."""
    known = [(concept,) for of_field in before.values() for concept in of_field]
    if not known:
        return {}
    known_df = named_df.sparkSession.createDataFrame(known, "concept string")
    found_df = named_df.join(F.broadcast(known_df), "concept").select("concept", "_rows")
    now = {row["concept"]: row["_rows"] for row in found_df.collect()}
    drift = {}
    for field, frequent in before.items():
        if field in totals:
            then = [*frequent.values(), before_rows[field] - sum(frequent.values())]
            counts = [now.get(concept, 0) for concept in frequent]
            counts.append(totals[field]["_rows"] - sum(counts))
            drift[field] = {"psi": psi(then, counts), "noise": noise(then, counts)}
    return drift


def data_profile(
    named_df: DataFrame,
    spans: Spans,
    bounds: tuple[int, int],
    settings: DataProfile,
    fields: Sequence[Field],
    last: Mapping[str, Any],
) -> dict[str, Any]:
    """The summary `profile`: concepts by day, drift within the window and since the run before, whose summary is
    `last` (empty where there was none)."""
    totals, by_day = counts_by_field(named_df, spans, bounds)
    drift, top = field_drift(named_df, totals, settings.top)
    for field in fields:
        if field.rule.kind == "recency" and field.name in drift:  # the value is the day: it differs by its meaning
            drift[field.name] |= {"psi": None, "noise": None, "by_period": []}
    rows = {field: one["rows"] for field, one in drift.items()}
    for name, one in drift_since(named_df, totals, last.get("top", {}), last.get("rows", {})).items():
        drift[name] |= {"psi_since_last": one["psi"], "noise_since_last": one["noise"]}
    labels = spans.labels
    return {
        "days_a_span": spans.step,
        "periods": [labels[period.start] for period in spans.periods(settings.periods)],
        "concepts_by_day": by_day,
        "drift": drift,
        "rows": rows,
        "top": top,
    }
