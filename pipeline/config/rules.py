"""How rows become concepts: one rule."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.checked import Name, Window
from pipeline.config.paths import parse_path


class Rule(Section):
    """How a source's rows become concepts `source.rule=value` (MetaCon section 3)."""

    name: Name
    kind: Literal["field", "multi", "pairs", "map", "number", "time", "recency", "path", "sparql", "sql"]
    """field: one value. multi: an array, or a string split by `separator`. map: key -> value pairs.
    pairs: every two values of an array or a split string as one, `a&b` in the order of the alphabet; a mask of a value
    has to name its pairs as well.
    number: log-rounded. time: `part` of the event time. recency: log2 days from the event to the cutoff.
    path: the values that `path` reaches in the knowledge base from `column`.
    sparql: the values that `query`, a SPARQL SELECT over the knowledge base, finds for `column`.
    sql: the entities and values that `query`, any Spark SQL over the sources, returns."""
    column: str | None = None
    """A column or nested field (`device.os`); not needed for time and recency."""
    separator: str | None = None
    part: Literal["hour", "weekday", "month"] = "hour"
    path: str | None = None
    """Hops through the knowledge base, `/` between them, `^` before an inverse one: `made_by/in_topic/^likes`;
    alternatives `a|b`, repeats `a{1,3}`, groups `^(a/b)` (grammar: pipeline/config/paths.py)."""
    path_weight: Literal["count", "binary", "degree"] = "count"
    """What a reached value weighs. count: the number of paths to it. binary: 1. degree: the sum over its paths, a hop
    divided by the edges of its relation that leave the node: where a random walk ends."""
    query: str | None = None
    """sparql: selects ?start (the column's value), ?value and perhaps ?weight (a number; else a value weighs as many
    solutions as it has), or two or three others in this order. sql: returns columns entity and value, perhaps weight (a
    number; else 1) and time. Its tables are the sources by name, only rows before the cutoff, with _entity and _time
    beside their own columns, and knowledge_base (head, relation, tail)."""
    base: float = Field(default=2.0, gt=1)
    """number: values are rounded to whole powers of this base."""
    weight: str | None = None
    """A numeric column whose value is each event's weight (default: 1 an event; for a map, its value when numeric)."""
    aggregate: Literal["count", "sum", "max", "binary", "decay", "last", "distinct"] | None = None
    """How an entity's events make one weight (default: sum where there are weights, else count). last: the concept of
    the latest event that has a value, and no other (of events at the same instant the one whose text comes last).
    distinct: one concept, the number of different values, log-rounded to a power of `base`."""
    half_life: float | None = Field(default=None, gt=0)
    """decay: half-life in days."""
    windows: list[Window] = []
    """Days before the cutoff, such as [7d, 30d]: for each, concepts `source.rule.7d=value` of a field of their own from
    the events in [cutoff - 7 days, cutoff) (and not before unfold.start). None: `source.rule=value` from all."""
    max_concepts: int | None = Field(default=None, ge=1)
    """An entity keeps its so many heaviest concepts of the rule (in each window), of equal ones those of lower id."""

    @model_validator(mode="after")
    def _used(self) -> Rule:
        """An option that the kind of rule would ignore is refused."""
        takes = {
            "field": {"column", "weight"},
            "multi": {"column", "separator", "weight"},
            "pairs": {"column", "separator", "weight"},
            "map": {"column"},
            "number": {"column", "base", "weight"},
            "time": {"part", "weight"},
            "recency": {"weight"},
            "path": {"column", "separator", "path", "path_weight", "weight"},
            "sparql": {"column", "separator", "query", "weight"},
            "sql": {"query"},
        }[self.kind] | ({"base"} if self.aggregate == "distinct" else set())
        optional = {"column", "separator", "part", "path", "path_weight", "query", "base", "weight"}
        ignored = optional & self.model_fields_set - takes
        ignored = {name for name in ignored if getattr(self, name) != type(self).model_fields[name].default}
        if ignored:
            raise ValueError(f"rule {self.name}: kind {self.kind} takes no {', '.join(sorted(ignored))}")
        if self.half_life is not None and self.aggregate != "decay":
            raise ValueError(f"rule {self.name}: half_life is for aggregate decay only")
        if self.weight is not None and self.aggregate in ("count", "binary", "distinct"):
            raise ValueError(f"rule {self.name}: aggregate {self.aggregate} ignores weight; use sum, max or decay")
        return self

    @model_validator(mode="after")
    def _complete(self) -> Rule:
        if self.kind not in ("time", "recency", "sql") and not self.column:
            raise ValueError(f"rule {self.name}: kind {self.kind} needs a column")
        if self.kind == "path" and not self.path:
            raise ValueError(f"rule {self.name}: kind path needs a path, such as made_by/in_topic")
        if self.kind in ("sparql", "sql") and not self.query:
            raise ValueError(f"rule {self.name}: kind {self.kind} needs a query")
        if self.path:
            try:
                parse_path(self.path)
            except ValueError as error:
                raise ValueError(f"rule {self.name}: {error}") from None
        if self.path_weight == "degree" and self.aggregate == "count":
            raise ValueError(f"rule {self.name}: aggregate count ignores path_weight degree; use sum or max")
        if self.aggregate == "decay" and self.half_life is None:
            raise ValueError(f"rule {self.name}: aggregate decay needs a half_life in days")
        if self.aggregate == "last" and self.kind in ("multi", "pairs", "map", "path", "sparql"):
            raise ValueError(f"rule {self.name}: aggregate last is for one value a row, not for kind {self.kind}")
        twice = sorted({one for one in self.windows if self.windows.count(one) > 1})
        if twice:
            raise ValueError(f"rule {self.name}: duplicate window: {', '.join(twice)}")
        return self
