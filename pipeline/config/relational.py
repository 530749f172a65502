"""A relational database: tables with keys, followed from the entity's table along foreign keys to a depth."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config.base import Section
from pipeline.config.checked import Name, SqlName, Zone
from pipeline.config.names import environment_name
from pipeline.config.rules import Rule
from pipeline.config.sources import Table


def as_rules(content: Any) -> Any:
    """A text among rules is the field rule of the column of that name."""
    if not isinstance(content, list):
        return content
    return [{"name": one, "kind": "field", "column": one} if isinstance(one, str) else one for one in content]


ColumnRules = Annotated[list[Rule], BeforeValidator(as_rules)]


class Jdbc(Section):
    """How the tables of a database are reached that have a `dbtable`. `prepare` copies them, once a run."""

    url: str = Field(pattern=r"^jdbc:postgresql://[^\s?]+(\?\S*)?$")
    """jdbc:postgresql://host:port/database"""
    user: str | None = None
    password: Annotated[str, BeforeValidator(environment_name)] | None = None
    """The name of the environment variable that holds the password, as $SHOP_PASSWORD: never the password itself."""
    fetch_size: int = Field(default=10_000, ge=1)
    """Rows that travel at once: what bounds the memory of a connection."""

    @model_validator(mode="after")
    def _no_secret(self) -> Jdbc:
        if "password" in self.url.lower() or "@" in self.url:
            raise ValueError("jdbc.url holds a user or a password; use jdbc.user and jdbc.password")
        return self


class Partition(Section):
    """Read by so many connections at once, each a range of a numeric column."""

    column: Name
    lower: int
    upper: int
    """Where the ranges begin and end; rows outside are read too, by the first and the last connection."""
    parts: int = Field(ge=2, le=256)

    @model_validator(mode="after")
    def _range(self) -> Partition:
        if self.lower >= self.upper:
            raise ValueError(f"partition: lower {self.lower} is not below upper {self.upper}")
        return self


class DatabaseTable(Table):
    """A table: in a file as other tables are (`path`, `format`), or in the database that `jdbc` names (`dbtable`)."""

    name: Name
    path: str = ""
    dbtable: SqlName | None = None
    """`table` or `schema.table`."""
    partition: Partition | None = None
    key: str | None = None
    """The column of the primary key; a table without one is only reached from those that it refers to."""
    foreign_keys: dict[Name, Name] = {}
    """Column -> the table whose key it holds."""
    time: str | None = None
    """When a row came to be; none: it has always been there."""
    time_unit: Literal["timestamp", "seconds", "milliseconds"] = "timestamp"
    timezone: Zone | None = None
    where: str | None = None
    rules: ColumnRules = []
    """Concepts of the rows that are reached, as for a source; a text is the field rule of that column."""

    @model_validator(mode="after")
    def _one_place(self) -> DatabaseTable:
        if bool(self.path) == (self.dbtable is not None):
            raise ValueError(f"table {self.name}: needs one of path and dbtable")
        if self.dbtable is not None and (self.options or self.format != "parquet"):
            raise ValueError(f"table {self.name}: a dbtable takes no format and no options")
        if self.partition is not None and self.dbtable is None:
            raise ValueError(f"table {self.name}: partition is for a dbtable")
        return self


class Database(Section):
    """Concepts `WALK.rule=value`: a walk is named after the tables it passes, `orders__product` from the entity's
    table to its orders to their product, and `customer` for the entity's own table. An entity has a concept as often as
    there are ways to join its row with the rows of the walk. Walks go both ways along a foreign key, but not
    straight back along the one they came by; `walks.py` has the details."""

    name: Name
    jdbc: Jdbc | None = None
    tables: list[DatabaseTable] = Field(min_length=1)
    entity: Name
    """The table whose rows are the entities, named by its key."""
    depth: int = Field(default=2, ge=0, le=8)
    """So many foreign keys are followed, those of a cycle too."""
    walks: list[str] | None = None
    """The names of the walks to take; none: all that end at a table with rules."""

    @model_validator(mode="after")
    def _references(self) -> Database:
        names = [table.name for table in self.tables]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"database {self.name}: duplicate table name: {', '.join(twice)}")
        keys = {table.name: table.key for table in self.tables}
        known = ", ".join(names)
        for table in self.tables:
            if table.dbtable is not None and self.jdbc is None:
                raise ValueError(f"database {self.name}: table {table.name} has a dbtable, so jdbc is needed")
            for column, target in table.foreign_keys.items():
                what = f"database {self.name}: table {table.name}: foreign key {column}"
                if target not in keys:
                    raise ValueError(f"{what} is of no table {target!r}; the tables are: {known}")
                if keys[target] is None:
                    raise ValueError(f"{what} is of table {target}, which has no key")
        if self.entity not in keys:
            raise ValueError(f"database {self.name}: entity {self.entity!r} is no table; the tables are: {known}")
        if keys[self.entity] is None:
            raise ValueError(f"database {self.name}: the entity's table {self.entity} has no key")
        if self.jdbc is not None and not any(table.dbtable for table in self.tables):
            raise ValueError(f"database {self.name}: jdbc is for tables with a dbtable, and there is none")
        return self

    def table(self, name: str) -> DatabaseTable:
        return next(table for table in self.tables if table.name == name)
