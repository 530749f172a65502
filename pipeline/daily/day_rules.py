"""What a rule keeps of a day: rules as the partial aggregates read them, and what would make days differ.

Where a weight or a value depends on the cutoff, the day keeps what it takes to find it: a decaying weight is summed up
against the end of its day, and of an event's age (recency) only matters whether it stands at the very beginning of
its day: the buckets of `recency` change at whole days.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.forms import Derived
from pipeline.config.rules import Rule
from pipeline.config.sources import Source
from pipeline.errors import UserError
from pipeline.sources import quoted, read_table
from pipeline.unfold.fields import Field

FORMAT = 1
"""Raised when days hold something else than before for the same rules."""
DAY = "_day"
AT_ONCE, LATER = "0", "0.5"
"""Values of a recency rule in a day: where the event lies, in days after the day's beginning (later: anywhere)."""
_SINCE = "_since"
_AT_ASSEMBLY = {"windows", "max_concepts"}
"""What of a rule is read only when days are put together, so that it may change at any time."""
_SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRule:
    """A rule of a source with a time; `name`: `source.rule`, which its rows carry."""

    source: Source
    rule: Rule

    @property
    def name(self) -> str:
        return f"{self.source.name}.{self.rule.name}"

    def field(self, number: int) -> Field:
        """The rule as a field that can be read off the rows of `with_day`, whatever the cutoff."""
        changes: dict[str, object] = {"windows": []}
        if self.rule.aggregate == "decay":
            changes |= {"aggregate": "sum", "weight": _decayed(self.rule), "half_life": None}
        if self.rule.kind == "recency":
            changes |= {"kind": "field", "column": _SINCE}
        rule = Rule.model_construct(**{**dict(self.rule), **changes})
        return Field(number=number, source=self.source, rule=rule)


def dated_sources(config: Config) -> list[Source]:
    """The sources that are unfolded by day: those with a time and rules."""
    return [source for source in config.sources if source.time is not None and source.rules]


def day_rules(source: Source) -> list[DayRule]:
    return [DayRule(source=source, rule=rule) for rule in source.rules]


def check_rules(config: Config) -> None:
    """Raises UserError for rules that cannot be put together from days, and where no source has a time."""
    for source in dated_sources(config):
        if isinstance(source, Derived):
            raise UserError(
                f"source {source.name}: rows with times at the end of a walk through a database have no files of their "
                "own to find a day's events in; use the unfold stage, or declare the table as a source"
            )
    for source in config.sources:
        for rule in source.rules:
            if rule.kind == "sql":
                raise UserError(
                    f"source {source.name}, rule {rule.name}: a rule of kind sql cannot be put together from days, as "
                    "its query may join events of several; use the unfold stage, or leave it out here"
                )
    if not dated_sources(config):
        raise UserError("no source with rules has a time, so there are no days to unfold; use the unfold stage")


def with_day(rows_df: DataFrame, source: Source) -> DataFrame:
    """Adds `_day` (UTC), and the columns that the fields of `DayRule.field` read."""
    rows_df = rows_df.withColumn(DAY, F.to_date("_time"))
    if any(rule.kind == "recency" for rule in source.rules):
        at_once = F.col("_time") == F.col(DAY).cast("timestamp")
        rows_df = rows_df.withColumn(_SINCE, F.when(at_once, AT_ONCE).otherwise(LATER))
    decaying = {_decayed(rule): _decayed_weight(rule) for rule in source.rules if rule.aggregate == "decay"}
    return rows_df.withColumns(decaying) if decaying else rows_df


def fingerprint_of(config: Config, triples_df: DataFrame | None) -> str:
    """Of all that a day's rows depend on besides its events: how each source is read, the rules, the knowledge base."""
    sources = dated_sources(config)
    known = _content(triples_df) if triples_df is not None and needs_triples(sources) else None
    readings = sorted(reading_of(config, source) for source in sources)
    return _digest({"format": FORMAT, "sources": readings, "knowledge_base": known})


def reading_of(config: Config, source: Source) -> str:
    """The fingerprint of how a source is read, what is in its joined tables, and its rules: which rows are good, on
    which day they are and what their hashes are made of depends on it."""
    content = source.model_dump(mode="json", exclude={"path", "rules"})
    rules = [rule.model_dump(mode="json", exclude=_AT_ASSEMBLY) for rule in source.rules]
    joined = [_content(read_table(config, join)) for join in source.join]
    return _digest({**content, "rules": sorted(rules, key=lambda rule: rule["name"]), "joined": joined})


def needs_triples(sources: Sequence[Source]) -> bool:
    return any(rule.kind in ("path", "sparql") for source in sources for rule in source.rules)


def _digest(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()[:16]


def _content(table_df: DataFrame) -> list[int]:
    """How many rows a table has, and the sum of their hashes (modulo 2^64)."""
    row = table_df.agg(F.count("*"), F.sum(F.xxhash64(F.to_json(F.struct("*"))))).first()
    assert row is not None
    return [row[0], row[1] or 0]


def _decayed(rule: Rule) -> str:
    return f"_decayed_{rule.name}"


def _decayed_weight(rule: Rule) -> Column:
    """An event's weight, less with its age at the end of its day."""
    weight = F.col(quoted(rule.weight)).cast("double") if rule.weight else F.lit(1.0)
    end = F.date_add(F.col(DAY), 1).cast("timestamp").cast("double")
    return weight * F.pow(F.lit(0.5), (end - F.col("_time").cast("double")) / _SECONDS_A_DAY / F.lit(rule.half_life))
