"""Walks along the foreign keys of a database, from the entity's table to a depth.

A step goes up, from rows to the one row each refers to, or down, to the rows that refer to it. Straight back along the
key it came by no walk goes: that way lie the row itself and its siblings, which are many. Where keys form a cycle
(a manager's manager) the walk goes round it as long as the depth allows.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from pipeline.config.base import Section
from pipeline.config.relational import Database

_MOST_WALKS = 200
"""More would be a plan of joins too large to make."""


class Step(Section):
    """Along `column`, a foreign key of `owner`, to `table`."""

    owner: str
    column: str
    table: str
    down: bool
    """From the row that is referred to, to those that refer to it."""
    label: str
    """`table`; where several keys lead there from here, `column` up and `table_by_column` down."""


Walk = tuple[Step, ...]


def walks_of(database: Database) -> list[Walk]:
    """Every walk that ends at a table with rules, shorter ones first. Raises ValueError where there are too many, and
    where two would have one name."""
    walks: list[Walk] = [()]
    level: list[Walk] = [()]
    for _ in range(database.depth):
        level = [(*walk, step) for walk in level for step in _steps(database, walk)]
        walks += level
        if len(walks) > _MOST_WALKS:
            raise ValueError(
                f"database {database.name}: more than {_MOST_WALKS} walks to depth {database.depth}; take a smaller "
                "depth, or leave out tables and foreign keys that say nothing of the entity"
            )
    with_rules = [walk for walk in walks if database.table(end_of(database, walk)).rules]
    names = [name_of(database, walk) for walk in with_rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"database {database.name}: two walks are called {twice[0]}; give a table another name")
    if database.walks is None:
        return with_rules
    unknown = sorted(set(database.walks) - set(names))
    if unknown:
        near = ", ".join(difflib.get_close_matches(unknown[0], names, n=3, cutoff=0.0))
        raise ValueError(
            f"database {database.name}: no walk {unknown[0]!r} to a table with rules in {database.depth} steps; "
            f"near: {near}"
        )
    return [walk for walk, name in zip(with_rules, names, strict=True) if name in database.walks]


def name_of(database: Database, walk: Walk) -> str:
    """What the concepts of a walk's rows begin with."""
    return "__".join(step.label for step in walk) or database.entity


def end_of(database: Database, walk: Walk) -> str:
    """The table whose rows a walk ends at."""
    return walk[-1].table if walk else database.entity


def cycle_of(database: Database) -> list[str]:
    """Foreign keys that lead from a table to itself, as `table.column`; empty where there are none."""
    keys = {table.name: table.foreign_keys for table in database.tables}

    def search(table: str, path: list[tuple[str, str]]) -> list[str]:
        passed = [name for name, _ in path]
        if table in passed:
            return [f"{name}.{column}" for name, column in path[passed.index(table) :]]
        for column, target in keys[table].items():
            found = search(target, [*path, (table, column)])
            if found:
                return found
        return []

    return next((found for found in (search(name, []) for name in keys) if found), [])


def _steps(database: Database, walk: Walk) -> Iterator[Step]:
    """How a walk can go on."""
    here = end_of(database, walk)
    every = [
        (owner.name, column, target, down)
        for owner in database.tables
        for column, target in owner.foreign_keys.items()
        for down in (False, True)
        if here == (target if down else owner.name)
    ]
    arrivals = [owner if down else target for owner, _, target, down in every]
    for owner, column, target, down in every:
        table = owner if down else target
        label = table if arrivals.count(table) == 1 else f"{table}_by_{column}" if down else column
        back = walk and (walk[-1].owner, walk[-1].column) == (owner, column) and walk[-1].down != down
        if not back:
            yield Step(owner=owner, column=column, table=table, down=down, label=label)
