"""What there is in the sources: counts for the report, and checks of the cutoff against them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.data import Source
from pipeline.errors import UserError
from pipeline.sources import DEFECT
from pipeline.unfold.associations import Field

logger = logging.getLogger(__name__)

Profile = dict[str, Any]
_SKETCH = 12  # 2^12 registers: entity counts of the profile are right within 2 %


def profile_rows(marked_df: DataFrame, source: Source, config: Config) -> Profile:
    """Rows by day and by defect, the first and last event and the rows in the windows, in one pass."""
    time = F.col("_time")
    in_window = F.lit(True) if source.time is None else time < F.lit(config.unfold.cutoff).cast("timestamp")
    if source.time is not None and config.unfold.start is not None:
        in_window &= time >= F.lit(config.unfold.start).cast("timestamp")
    day = F.when(F.col(DEFECT).isNull(), F.to_date(time))
    grouped_df = marked_df.groupBy(F.col(DEFECT).alias("defect"), day.alias("day")).agg(
        F.count("*").alias("rows"),
        F.sum(in_window.cast("long")).alias("features"),
        F.min(time).alias("first"),
        F.max(time).alias("last"),
    )
    # As text once they are few: making text of every row's time costs more than reading it.
    texts = [F.col(name).cast("string").alias(name) for name in ("day", "first", "last")]
    counted = grouped_df.select("defect", "rows", "features", *texts).collect()
    good = [row for row in counted if row["defect"] is None]
    bad: dict[str, int] = {}
    for row in counted:
        if row["defect"] is not None:
            bad[row["defect"]] = bad.get(row["defect"], 0) + row["rows"]
    for reason, count in sorted(bad.items()):
        logger.warning("source %s: %d rows go to the quarantine: %s", source.name, count, reason)
    return {
        "rows": sum(row["rows"] for row in good),
        "feature_rows": sum(row["features"] for row in good),
        "first": min((row["first"] for row in good if row["first"]), default=None),
        "last": max((row["last"] for row in good if row["last"]), default=None),
        "rows_by_day": {
            row["day"]: row["rows"] for row in sorted(good, key=lambda row: row["day"] or "") if row["day"]
        },
        "quarantined": bad,
    }


def check_windows(config: Config, profiles: Mapping[str, Profile]) -> None:
    """Raises UserError where the cutoff leaves no features, or a segment's source no labels."""
    cutoff, start = config.unfold.cutoff, config.unfold.start
    timed = [source.name for source in config.sources if source.time is not None]
    with_rules = [source.name for source in config.sources if source.time is not None and source.rules]
    if with_rules and not any(profiles[name]["feature_rows"] for name in with_rules):
        raise UserError(
            f"unfold.cutoff: no events in [{start or 'the beginning'}, {cutoff}), so no features; "
            f"{_spans(profiles, with_rules)}: choose a later cutoff"
        )
    for segment in config.segments:
        name = segment.label.source
        if name in timed and not (profiles[name]["last"] and profiles[name]["last"] >= str(cutoff)):
            raise UserError(
                f"unfold.cutoff: segment {segment.name}: no events of source {name} at or after {cutoff}, so no "
                f"labels; {_spans(profiles, [name])}: choose an earlier cutoff"
            )


def profile_fields(associations_df: DataFrame, fields: Sequence[Field]) -> tuple[Profile, Profile]:
    """By field: entities (within 2 %) and entity-concept pairs; by source: entities. Before rare concepts go."""
    sketched_df = associations_df.groupBy("field").agg(
        F.hll_sketch_agg("entity_id", _SKETCH).alias("sketch"), F.count("*").alias("pairs")
    )
    sources = F.element_at(F.array(*[F.lit(field.source.name) for field in fields]), F.col("field") + 1)
    sketched_df = sketched_df.select(sources.alias("source"), "field", "pairs", "sketch").persist()
    estimate = F.hll_sketch_estimate("sketch").alias("entities")
    by_field = sketched_df.select("field", "pairs", estimate).collect()
    merged_df = sketched_df.groupBy("source").agg(F.hll_union_agg("sketch").alias("sketch"))
    by_source = merged_df.select("source", estimate).collect()
    sketched_df.unpersist()
    of_field = {fields[row["field"]].name: {"entities": row["entities"], "pairs": row["pairs"]} for row in by_field}
    return of_field, {row["source"]: row["entities"] for row in by_source}


def count_by_field(counted_df: DataFrame, fields: Sequence[Field], kept: Column) -> dict[str, dict[str, int]]:
    """Concepts found and kept by field."""
    rows = (
        counted_df.groupBy("field").agg(F.count("*").alias("found"), F.sum(kept.cast("long")).alias("kept")).collect()
    )
    return {fields[row["field"]].name: {"concepts": row["found"], "kept": row["kept"]} for row in rows}


def _spans(profiles: Mapping[str, Profile], names: Sequence[str]) -> str:
    """Where the events of sources lie."""
    parts = [
        f"{name}'s lie between {profiles[name]['first']} and {profiles[name]['last']}"
        if profiles[name]["rows"]
        else f"{name} has none at all"
        for name in names
    ]
    return ", ".join(parts)
