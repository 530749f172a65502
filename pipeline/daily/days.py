"""Partial aggregates of days -> associations at a cutoff, as the unfold stage takes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.names import days_of
from pipeline.daily import partials
from pipeline.daily.day_rules import dated_sources
from pipeline.daily.files import Files, is_any_day
from pipeline.exact import EXACT
from pipeline.session import get_session
from pipeline.sources import bad_rows, good_rows, read_marked
from pipeline.sources.databases import check_databases
from pipeline.tables import Tables
from pipeline.unfold.associations import DAY, exploded, masks_by_entity, weighed_pairs
from pipeline.unfold.fields import Field, fields_of
from pipeline.unfold.inputs import Keep, replace_quarantine
from pipeline.unfold.latest import is_reduced, reduced
from pipeline.unfold.profile import Profile, check_features, check_zones, profile_rows
from pipeline.unfold.unite import Associations, merged_masks


class DayInputs:
    """What the stage unfolds: sources with a time from their days, others whole."""

    def __init__(
        self,
        config: Config,
        files: Files,
        days: Sequence[str],
        triples_df: DataFrame | None,
        bad_triples_df: DataFrame | None,
    ) -> None:
        """days: all days of the window, each unfolded."""
        self._config = config
        self._files = files
        self._days = days
        self._triples_df = triples_df
        self._bad_triples_df = bad_triples_df
        self._fields = fields_of(config.sources)
        self._exploded_df: DataFrame | None = None
        self.facts: dict[str, Any] = {}

    def read(self, keep: Keep) -> dict[str, Profile]:
        config = self._config
        dated = dated_sources(config)
        static = [source for source in config.sources if source.time is None]
        marked = {source.name: read_marked(config, source) for source in static}
        profiles = {source.name: profile_rows(marked[source.name], source, config) for source in static}
        profiles |= _profiles(config, self._files)
        check_zones(config, profiles)
        check_features(config, profiles)
        parts = [_days_exploded(config, self._days, [one for one in self._fields if one.source in dated])]
        for source in static:
            own = [field for field in self._fields if field.source == source]
            if own:
                rows_df = good_rows(marked[source.name])
                static_df = exploded(rows_df, source, own, config.unfold, self._triples_df, days=True)
                parts.append(static_df.withColumn("exact", F.col("weight").cast(EXACT)))
        self._exploded_df = reduce(DataFrame.unionByName, parts)
        bad = [bad_rows(marked[one.name], one) for one in static if profiles[one.name]["quarantined"]]
        bad_tables, tables = check_databases(config)
        if tables:
            self.facts["tables"] = tables
        others = (self._bad_triples_df, self._files.bad_rows())
        replace_quarantine(config, [*bad_tables, *bad, *(bad_df for bad_df in others if bad_df is not None)])
        return profiles

    def associate(self, seed: int, keep: Keep) -> Associations:
        assert self._exploded_df is not None  # read comes first
        weighed_df = keep(weighed_pairs(self._exploded_df, self._fields, seed))
        days = [DAY] if self._config.unfold.profile.drift else []
        return Associations(
            pairs_df=weighed_df.drop("field"),
            masks_df=merged_masks([masks_by_entity(weighed_df, self._fields, self._fields)]),
            exploded_df=self._exploded_df.select("field", "value", *days),
            counts=all(field.kind in ("count", "binary") for field in self._fields),
            rows_of="days of entities",
        )


def _days_exploded(config: Config, days: Sequence[str], fields: Sequence[Field]) -> DataFrame:
    """entity_id, field, weight, value, exact (see associations.weighed_pairs) and `DAY` of these days and fields."""
    daily_df = Tables(config, get_session(config)).read(partials.TABLE, "the daily")
    rows_df = daily_df.where(is_any_day(F.col("day"), days))
    places = [part for name, own in _by_rule(fields).items() for part in (F.lit(name), _places(config, own))]
    rows_df = rows_df.select("*", F.inline(F.create_map(*places)[F.col("rule")])).where("day >= begin")
    ends = F.datediff(F.lit(config.unfold.cutoff).cast("date"), F.col("day"))
    since = F.greatest(ends - F.col("value").cast("double"), F.lit(0.0))
    recency = [field for field in fields if field.rule.kind == "recency"]
    value = F.when(_is_any(recency), F.floor(F.log2(since + 1)).cast("string")).otherwise(F.col("value"))
    weight = (
        F.when(F.col("events").isNotNull(), F.col("events").cast("double"))
        .when(F.col("total").isNotNull(), F.col("total").cast("double"))
        .when(F.col("most").isNotNull(), F.col("most"))
        .otherwise(F.lit(1.0))
    )
    exact = F.when(F.col("total").isNotNull(), F.col("total")).otherwise(weight.cast(EXACT))
    for field in fields:
        if field.rule.aggregate == "decay":
            aged = F.col("total").cast("double") * F.pow(F.lit(0.5), (ends - 1) / F.lit(field.rule.half_life))
            exact = F.when(F.col("field") == field.number, aged.cast(EXACT)).otherwise(exact)
    columns = [weight.alias("weight"), value.alias("value"), exact.alias("exact"), F.col("latest").alias("_time")]
    columns.append(F.col("day").alias(DAY))
    each_df = rows_df.select("entity_id", "field", *columns)
    of_all = [field for field in fields if is_reduced(field)]
    if not of_all:
        return each_df.drop("_time")
    reduced_df = reduced(each_df.where(_is_any(of_all)), of_all).withColumn("exact", F.col("weight").cast(EXACT))
    reduced_df = reduced_df.withColumn(DAY, F.lit(None).cast("date"))
    return each_df.where(~_is_any(of_all)).drop("_time").unionByName(reduced_df)


def _places(config: Config, fields: Sequence[Field]) -> Column:
    """The fields that a rule's rows go into: array of (field, begin), the first day of the field's window."""
    start = date.fromisoformat(config.unfold.start[:10]) if config.unfold.start else date.min
    cutoff = date.fromisoformat(str(config.unfold.cutoff)[:10])
    entries = []
    for field in fields:
        begin = start if field.window is None else max(start, cutoff - timedelta(days=days_of(field.window)))
        entries.append(
            F.struct(F.lit(field.number).alias("field"), F.lit(begin.isoformat()).cast("date").alias("begin"))
        )
    return F.array(*entries)


def _by_rule(fields: Sequence[Field]) -> dict[str, list[Field]]:
    found: dict[str, list[Field]] = {}
    for field in fields:
        found.setdefault(f"{field.source.name}.{field.rule.name}", []).append(field)
    return found


def _is_any(fields: Sequence[Field]) -> Column:
    return F.col("field").isin([field.number for field in fields]) if fields else F.lit(False)


def _profiles(config: Config, files: Files) -> dict[str, Profile]:
    """As profile.profile_rows has it, from the record of files."""
    bad_df = files.bad_rows()
    bad = bad_df.groupBy("source", "reason").count().collect() if bad_df is not None else []
    start, cutoff = (config.unfold.start or "")[:10], str(config.unfold.cutoff)[:10]
    profiles = {}
    for source in dated_sources(config):
        texts = [F.col(name).cast("string").alias(name) for name in ("day", "first", "last")]
        rows = files.counts(source).select("rows", *texts).collect()
        days = {row["day"]: row["rows"] for row in rows}
        profiles[source.name] = {
            "rows": sum(days.values()),
            "feature_rows": sum(count for day, count in days.items() if start <= day < cutoff),
            "first": min((row["first"] for row in rows), default=None),
            "last": max((row["last"] for row in rows), default=None),
            "crowded": [],
            "rows_by_day": dict(sorted(days.items())),
            "quarantined": {row["reason"]: row["count"] for row in bad if row["source"] == source.name},
        }
    return profiles
