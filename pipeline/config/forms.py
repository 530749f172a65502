"""Databases, graphs and facts as sources: what the stages read is sources and triples, whatever the form of the input.

A derived source stands behind the declared ones in `Config.sources` once a configuration is loaded. It is no part of
what is written down of a configuration, as it follows from the section it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from pipeline.config.facts import Facts
from pipeline.config.graphs import Graph
from pipeline.config.relational import Database, DatabaseTable
from pipeline.config.sources import Source
from pipeline.config.walks import Walk, end_of, name_of, walks_of

ROOT, AT = "_root", "_at"
"""Columns of derived sources: the entity; the latest time of the rows on a walk."""


class Derived(Source):
    """A source that follows from another section."""


class WalkSource(Derived):
    """The rows at the end of a walk through a database, once for each way to get there."""

    database: str
    walk: Walk


class NodeSource(Derived):
    """The entities of a graph."""

    graph: str


class TableSource(Derived):
    """A table of a database or graph, by itself."""


class FactSource(Derived):
    """The entities of facts."""

    facts: str


def derived_sources(databases: Sequence[Database], graphs: Sequence[Graph], facts: Sequence[Facts]) -> list[Derived]:
    """Raises ValueError for a rule that does not fit the rows it is for."""
    sources: list[Derived] = []
    for database in databases:
        sources += [_walk_source(database, walk) for walk in walks_of(database)]
    for graph in graphs:
        rules = [rule.from_column(ROOT, graph.typed(rule), weighted=True) for rule in graph.rules]
        sources.append(NodeSource(name=graph.name, path="", entity=ROOT, rules=rules, graph=graph.name))
    for one in facts:
        rules = [rule.from_column(ROOT, rule.parsed(), weighted=False) for rule in one.rules]
        sources.append(FactSource(name=one.name, path=one.path, entity=ROOT, rules=rules, facts=one.name))
    return sources


def _walk_source(database: Database, walk: Walk) -> WalkSource:
    passed = [database.entity, *(step.table for step in walk)]
    timed = any(database.table(name).time is not None for name in passed)
    settings: dict[str, Any] = {"rules": database.table(end_of(database, walk)).rules, "walk": walk}
    name = name_of(database, walk)
    try:
        return WalkSource(
            name=name, path="", entity=ROOT, time=AT if timed else None, database=database.name, **settings
        )
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(f"database {database.name}, walk {name}: {problem}") from None


def table_source(table: DatabaseTable, name: str) -> TableSource:
    """A table as a source of its own, whose entities are its rows; `name`: what the quarantine calls it."""
    same = ("format", "path", "options", "rename", "types", "time", "time_unit", "timezone", "where", "rules")
    return TableSource.model_construct(**{one: getattr(table, one) for one in same}, name=name, entity=table.key or "")
