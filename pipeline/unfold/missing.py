"""What rows of a source lack, and how many entities have rows, by day: one aggregation a source."""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.config.rules import Rule
from pipeline.config.sources import Source
from pipeline.config.unfolding import Unfold
from pipeline.sources import quoted
from pipeline.sources.columns import type_of
from pipeline.unfold.fields import in_window
from pipeline.unfold.rules import has_values, value_of, values_of
from pipeline.unfold.spans import Spans, spans_in

_ROW = -1
"""The span that stands for all rows of an entity."""


def profile_values(rows_df: DataFrame, source: Source, unfold: Unfold, spans: Spans) -> dict[str, Any]:
    """`missing_rows`: by rule the rows of the feature window without a value (of a path or query: without a value to
    start from); `entities_by_day`: by span those that have any row in it. rows_df: the good rows."""
    # A row may be an example of several cutoffs, whose windows then overlap.
    rows_df = in_window(rows_df, source, unfold)
    rules = [rule for rule in source.rules if rule.kind != "sql"]
    missing = [
        F.count_if(is_missing(rows_df, source, rule, unfold)).alias(f"_missing_{i}") for i, rule in enumerate(rules)
    ]
    seen = F.bit_or(spans.bit(F.to_date("_time"))).alias("_seen")
    entities_df = rows_df.groupBy("_entity").agg(seen, *missing)
    marked = F.concat(F.array(F.lit(_ROW)), F.coalesce(spans_in(F.col("_seen")), F.array().cast("array<int>")))
    each_df = entities_df.withColumn("_span", F.explode(marked))
    sums = [F.sum(f"_missing_{i}").alias(f"_missing_{i}") for i in range(len(rules))]
    counted = {row["_span"]: row for row in each_df.groupBy("_span").agg(F.count("*").alias("_n"), *sums).collect()}
    every = counted.pop(_ROW, None)
    labels = spans.labels
    return {
        "missing_rows": {rule.name: every[f"_missing_{i}"] if every else 0 for i, rule in enumerate(rules)},
        "entities_by_day": {labels[span]: counted[span]["_n"] for span in sorted(counted)},
    }


def is_missing(rows_df: DataFrame, source: Source, rule: Rule, unfold: Unfold) -> Column:
    """Whether a row has no value for a rule; never null."""
    if rule.kind in ("path", "sparql", "map"):
        assert rule.column is not None
        column, kind = F.col(quoted(rule.column)), type_of(rows_df, rule.column)
        if isinstance(kind, T.ArrayType | T.MapType):
            return F.coalesce(F.size(column) <= 0, F.lit(True))
        return _is_blank(column.cast("string"))
    if has_values(rule):
        there = F.exists(values_of(rows_df, source, rule), lambda value: F.trim(value) != "")
        return ~F.coalesce(there, F.lit(False))
    return _is_blank(value_of(rows_df, source, rule, unfold))


def _is_blank(text: Column) -> Column:
    return F.coalesce(F.trim(text) == "", F.lit(True))
