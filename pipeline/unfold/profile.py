"""What there is in the sources: counts for the report, and checks of the cutoff against them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.sources import Source
from pipeline.errors import UserError
from pipeline.sources import DEFECT, NAIVE
from pipeline.unfold.fields import Field, has_field

logger = logging.getLogger(__name__)

Profile = dict[str, Any]
_BUCKETS = 64  # of entities, by hash
_MOST_ROWS = 200_000
"""Events of one entity (some tens of MB as keys)."""


def profile_rows(marked_df: DataFrame, source: Source, config: Config) -> Profile:
    """Rows by day and by defect, the first and last event and the rows in the windows, in one pass.

    `crowded`: which of 64 buckets of entities (`bucket_of`) have so many more rows in the window than the mean that an
    entity with very many may be among them.
    """
    time = F.col("_time")
    in_window = F.lit(True) if source.time is None else time < F.lit(config.unfold.cutoff).cast("timestamp")
    if source.time is not None and config.unfold.start is not None:
        in_window &= time >= F.lit(config.unfold.start).cast("timestamp")
    day = F.when(F.col(DEFECT).isNull(), F.to_date(time))
    grouped_df = marked_df.groupBy(F.col(DEFECT).alias("defect"), day.alias("day"), bucket_of().alias("bucket")).agg(
        F.count("*").alias("rows"),
        F.sum(in_window.cast("long")).alias("features"),
        F.min(time).alias("first"),
        F.max(time).alias("last"),
    )
    # As text once they are few: making text of every row's time costs more than reading it.
    texts = [F.col(name).cast("string").alias(name) for name in ("day", "first", "last")]
    counted = grouped_df.select("defect", "bucket", "rows", "features", *texts).collect()
    good = [row for row in counted if row["defect"] is None]
    bad: dict[str, int] = {}
    for row in counted:
        if row["defect"] is not None:
            bad[row["defect"]] = bad.get(row["defect"], 0) + row["rows"]
    days: dict[str, int] = {}
    buckets = [0] * _BUCKETS
    for row in good:
        buckets[row["bucket"]] += row["features"]
        if row["day"]:
            days[row["day"]] = days.get(row["day"], 0) + row["rows"]
    for reason, count in sorted(bad.items()):
        logger.warning("source %s: %d rows go to the quarantine: %s", source.name, count, reason)
    return {
        "rows": sum(row["rows"] for row in good),
        "feature_rows": sum(row["features"] for row in good),
        "first": min((row["first"] for row in good if row["first"]), default=None),
        "last": max((row["last"] for row in good if row["last"]), default=None),
        "crowded": [n for n, rows in enumerate(buckets) if rows - sum(buckets) // _BUCKETS > _MOST_ROWS],
        "rows_by_day": dict(sorted(days.items())),
        "quarantined": bad,
    }


def bucket_of() -> Column:
    """int: the bucket that a row's entity is in."""
    return F.pmod(F.xxhash64("_entity"), F.lit(_BUCKETS)).cast("int")


def check_windows(config: Config, profiles: Mapping[str, Profile]) -> None:
    """Raises UserError where times have no zone, the cutoff leaves no features, or a segment's source no labels."""
    check_zones(config, profiles)
    check_features(config, profiles)
    cutoff = config.unfold.cutoff
    timed = [source.name for source in config.sources if source.time is not None]
    for segment in config.segments:
        name = segment.label.source
        if name in timed and not (profiles[name]["last"] and profiles[name]["last"] >= str(cutoff)):
            raise UserError(
                f"unfold.cutoff: segment {segment.name}: no events of source {name} at or after {cutoff}, so no "
                f"labels; {_spans(profiles, [name])}: choose an earlier cutoff"
            )


def check_zones(config: Config, profiles: Mapping[str, Profile]) -> None:
    """Raises UserError where times have no zone."""
    for source in config.sources:
        naive = profiles.get(source.name, {}).get("quarantined", {}).get(f"{source.time} {NAIVE}")
        if naive:
            raise UserError(
                f"source {source.name}: time {source.time} of {naive:,} rows names no time zone; set timezone: UTC, or "
                "the zone that the times are of"
            )


def check_features(config: Config, profiles: Mapping[str, Profile]) -> None:
    """Raises UserError where the window holds no event of any source that has a time."""
    cutoff, start = config.unfold.cutoff, config.unfold.start
    with_rules = [source.name for source in config.sources if source.time is not None and source.rules]
    if with_rules and not any(profiles[name]["feature_rows"] for name in with_rules):
        raise UserError(
            f"unfold.cutoff: no events in [{start or 'the beginning'}, {cutoff}), so no features; "
            f"{_spans(profiles, with_rules)}: choose a later cutoff"
        )


def entities_by_field(masks_df: DataFrame, fields: Sequence[Field]) -> tuple[dict[str, int], dict[str, int]]:
    """How many entities have each field, and each source. masks_df: the masks (fields.py), one row an entity."""
    sources: dict[str, Column] = {}
    for field in fields:
        has = has_field(field.number)
        sources[field.source.name] = sources[field.source.name] | has if field.source.name in sources else has
    conditions = [has_field(field.number) for field in fields] + list(sources.values())
    row = masks_df.agg(*(F.count_if(condition).alias(f"_{i}") for i, condition in enumerate(conditions))).first()
    assert row is not None
    by_field = {field.name: row[field.number] for field in fields}
    return by_field, dict(zip(sources, row[len(fields) :], strict=True))


def concepts_by_field(named_df: DataFrame, bounds: tuple[int, int]) -> dict[str, dict[str, int]]:
    """Concepts, kept ones (whose number of entities is within `bounds`), too common ones and entity-concept pairs by
    field, before rare and common concepts go."""
    rows = (
        named_df.groupBy("field")
        .agg(
            F.count("*").alias("concepts"),
            F.count_if(F.col("entities").between(*bounds)).alias("kept"),
            F.count_if(F.col("entities") > bounds[1]).alias("common"),
            F.sum("entities").alias("pairs"),
        )
        .collect()
    )
    return {row["field"]: {name: row[name] for name in ("concepts", "kept", "common", "pairs")} for row in rows}


def _spans(profiles: Mapping[str, Profile], names: Sequence[str]) -> str:
    """Where the events of sources lie."""
    parts = [
        f"{name}'s lie between {profiles[name]['first']} and {profiles[name]['last']}"
        if profiles[name]["rows"]
        else f"{name} has none at all"
        for name in names
    ]
    return ", ".join(parts)
