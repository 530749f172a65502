"""What the stage unfolds: all rows of the sources, or whatever else gives the same associations (pipeline/daily)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Protocol

from pyspark.sql import DataFrame

from pipeline.config import Config
from pipeline.quarantine import Quarantine
from pipeline.session import get_session
from pipeline.sources import bad_rows, good_rows, read_marked
from pipeline.sources.databases import check_databases
from pipeline.unfold.fields import fields_of
from pipeline.unfold.knowledge import check_paths
from pipeline.unfold.missing import profile_values
from pipeline.unfold.profile import Profile, check_windows, profile_rows
from pipeline.unfold.spans import feature_spans
from pipeline.unfold.sql_rules import has_sql, sql_rows
from pipeline.unfold.triples import read_triples
from pipeline.unfold.unite import Associations, Load, exploded_rows, unite

Keep = Callable[[DataFrame], DataFrame]
"""Caches a DataFrame until the stage ends."""


class Inputs(Protocol):
    """Where the associations of all fields come from. facts: more of them for the summary, once `read`."""

    facts: dict[str, Any]

    def read(self, keep: Keep) -> dict[str, Profile]:
        """Check everything, put bad rows in the quarantine; the profile of each source. Raises UserError."""

    def associate(self, seed: int, keep: Keep) -> Associations:
        """What entities have, by keys of this seed; after `read`."""


class SourceInputs:
    """The rows of all sources, each read whole."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._fields = fields_of(config.sources)
        self._rows: dict[str, DataFrame] = {}
        self._triples_df: DataFrame | None = None
        self._exploded_df: DataFrame | None = None
        self._load = Load(events=0, crowded=frozenset())
        self.facts: dict[str, Any] = {}

    def read(self, keep: Keep) -> dict[str, Profile]:
        config = self._config
        marked = {source.name: read_marked(config, source) for source in config.sources}
        bad_dfs, tables = check_databases(config)
        if tables:
            self.facts["tables"] = tables
        if config.has_knowledge:
            triples_df, bad_triples_df = read_triples(config)
            self._triples_df = keep(triples_df)
            bad_dfs.append(bad_triples_df)
        check_paths(config, self._triples_df)
        all_rows = {source.name: good_rows(marked[source.name]) for source in config.sources}
        self._rows = {source.name: all_rows[source.name] for source in config.sources if source.rules}
        if has_sql(config):
            self._rows |= sql_rows(config, get_session(config), all_rows, self._triples_df)
        days = config.unfold.profile.drift
        self._exploded_df = exploded_rows(config, self._rows, self._triples_df, self._fields, days)  # checks every rule
        profiles = {source.name: profile_rows(marked[source.name], source, config) for source in config.sources}
        check_windows(config, profiles)
        read = [profiles[name] for name in self._rows if name in profiles]
        self._load = Load(
            events=sum(profile["feature_rows"] for profile in read),
            crowded=frozenset(bucket for profile in read for bucket in profile["crowded"]),
        )
        self._profile_values(profiles)
        bad_dfs += [bad_rows(marked[one.name], one) for one in config.sources if profiles[one.name]["quarantined"]]
        replace_quarantine(config, bad_dfs)
        return profiles

    def associate(self, seed: int, keep: Keep) -> Associations:
        assert self._exploded_df is not None  # read comes first
        found = (self._rows, self._triples_df, self._fields, self._exploded_df, self._load)
        return unite(self._config, *found, seed, keep)

    def _profile_values(self, profiles: dict[str, Profile]) -> None:
        unfold = self._config.unfold
        if unfold.profile.drift:
            spans = feature_spans(unfold, [profile["rows_by_day"] for profile in profiles.values()])
            for source in self._config.sources:
                if source.rules:
                    profiles[source.name] |= profile_values(self._rows[source.name], source, unfold, spans)


def replace_quarantine(config: Config, bad_dfs: Sequence[DataFrame]) -> None:
    """These rows (source, reason, row) in place of what the stage had in the quarantine."""
    quarantine = Quarantine(config, "unfold")
    if bad_dfs:
        quarantine.replace_df(reduce(DataFrame.unionByName, bad_dfs))
    else:
        quarantine.replace([])
