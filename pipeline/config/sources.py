"""Where rows are read from: event sources, tables joined to them, knowledge bases."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pipeline.config.base import Section
from pipeline.config.checked import Name, Zone
from pipeline.config.rules import Rule


class Table(Section):
    """Where rows are read from. `path` may hold {data} and {workdir}."""

    format: Literal["parquet", "csv", "json", "delta"] = "parquet"
    path: str
    options: dict[str, str] = {}
    """Options of Spark's reader, such as {header: "true", sep: "\\t"}."""
    rename: dict[str, str] = {}
    """Column as it is in the file -> name to use, for columns whose names are awkward in SQL."""
    types: dict[str, str] = {}
    """Column -> Spark SQL type. A value that does not convert sends its row to the quarantine. CSV and JSON values
    are text where nothing is said here."""

    @model_validator(mode="after")
    def _reader_options(self) -> Table:
        for option in self.options:
            if option.lower() in ("mode", "columnnameofcorruptrecord"):
                raise ValueError(f"option {option} is not to be set: malformed records go to the quarantine")
            if option.lower() == "inferschema":
                raise ValueError("option inferSchema is not to be set: later events could change a type; use types")
        return self


class Join(Table):
    """A table of things that events name: its columns are added to each event, null where it has no such key."""

    key: str
    """A column of this name (after `rename`) in both; at most one row a key."""


class Source(Table):
    """An event source of any schema."""

    name: Name
    entity: str
    """The column that names the entity."""
    time: str | None = None
    """The column of the event time; none for a static source (a profile), whose rows count at any cutoff."""
    time_unit: Literal["timestamp", "seconds", "milliseconds"] = "timestamp"
    """How the column tells time: as a date or timestamp (or a text of one), or as a number since 1970-01-01 UTC."""
    timezone: Zone | None = None
    """The zone of times that name none, such as UTC or Europe/Berlin. None: such a time is an error."""
    join: list[Join] = []
    """Tables to look events' columns up in, such as the genres of a movie."""
    where: str | None = None
    """A Spark SQL condition: other rows are left out."""
    rules: list[Rule] = []

    @model_validator(mode="after")
    def _rules(self) -> Source:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"duplicate rule name: {', '.join(twice)}; concepts are named after their rule")
        for rule in self.rules:
            timed = rule.kind in ("time", "recency") or rule.aggregate in ("decay", "last") or rule.windows
            if self.time is None and timed and rule.kind != "sql":
                raise ValueError(f"rule {rule.name}: needs event times, but the source declares no time column")
        if self.timezone is not None and (self.time is None or self.time_unit != "timestamp"):
            raise ValueError(f"source {self.name}: timezone is for a time column of unit timestamp")
        return self


class KnowledgeBase(Table):
    """Triples (head, relation, tail)."""

    head: str = "head"
    relation: str = "relation"
    tail: str = "tail"
    constant: str | None = None
    """The relation of all rows, for a table of two columns; `relation` is not read then."""
