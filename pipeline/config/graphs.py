"""A heterogeneous graph: nodes of types with attributes, edges of relations between types, and typed walks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.base import Section
from pipeline.config.checked import Name, Zone
from pipeline.config.paths import Alternative, Hop, Path, Repeat, Sequence, parse_path, text_of
from pipeline.config.relational import ColumnRules
from pipeline.config.rules import Rule
from pipeline.config.sources import Table

LITERAL = "a value"
"""The type of what an attribute leads to, after the attribute's own relation."""
_KINDS = ("field", "multi", "number")


def _attributes(rules: list[Rule]) -> list[Rule]:
    for rule in rules:
        plain = Rule.model_construct(name=rule.name, kind="field", column=rule.column)
        given = {name for name in Rule.model_fields if getattr(rule, name) != getattr(plain, name)}
        wrong = sorted(given - {"kind", "separator", "base"})
        if rule.kind not in _KINDS or wrong:
            raise ValueError(
                f"attribute {rule.name}: takes kind {', '.join(_KINDS)} with column, separator and base, not "
                f"{', '.join(wrong) or rule.kind}"
            )
    return rules


class Nodes(Table):
    """Nodes of a type, a row each; a type may be in several tables."""

    type: Name
    id: str = "id"
    where: str | None = None
    attributes: Annotated[ColumnRules, AfterValidator(_attributes)] = []
    """What nodes lead to by a relation of the attribute's name: a value, each of several (multi), or a number
    log-rounded. A text is the attribute of that column."""


class Edges(Table):
    """Edges of declared relations, a row each; rows of the same edge add up."""

    source: str = "source"
    relation: str = "relation"
    target: str = "target"
    constant: Name | None = None
    """The relation of all rows; `relation` is not read then."""
    weight: str | None = None
    """A column of numbers above 0; none: 1. A walk weighs the product of its edges."""
    time: str | None = None
    """Only edges before the cutoff are seen; none: all are."""
    time_unit: Literal["timestamp", "seconds", "milliseconds"] = "timestamp"
    timezone: Zone | None = None
    where: str | None = None


class PathRule(Section):
    """Concepts `NAME.rule=value` of the values at the end of `path`."""

    name: Name
    path: str
    """As for a rule of kind path: `placed/of/brand`, `knows{1,2}`, `placed/of/^of/^placed`."""
    path_weight: Literal["count", "binary", "degree"] = "count"
    max_concepts: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _path(self) -> PathRule:
        try:
            self.parsed()
        except ValueError as error:
            raise ValueError(f"rule {self.name}: {error}") from None
        return self

    def parsed(self) -> Path:
        return parse_path(self.path)

    def from_column(self, column: str, path: Path, weighted: bool) -> Rule:
        """The same as a rule of a source, from a column's values; weighted: by edges that weigh fractions."""
        settings: dict[str, Any] = {"path_weight": self.path_weight, "max_concepts": self.max_concepts}
        settings["aggregate"] = "sum" if weighted else None
        return Rule(name=self.name, kind="path", column=column, path=text_of(path), **settings)


class Graph(Section):
    """Concepts `NAME.rule=value` of the nodes of type `entity`."""

    name: Name
    nodes: list[Nodes] = Field(min_length=1)
    edges: list[Edges] = Field(min_length=1)
    relations: dict[Name, tuple[Name, Name]]
    """Relation -> the types it leads from and to: `{placed: [customer, order], of: [order, product]}`."""
    entity: Name
    rules: list[PathRule] = Field(min_length=1)

    @model_validator(mode="after")
    def _typed(self) -> Graph:
        types = list(dict.fromkeys(nodes.type for nodes in self.nodes))
        for what, named in (
            ("entity", {self.entity}),
            *((f"relation {name}", set(ends)) for name, ends in self.relations.items()),
        ):
            for name in sorted(named - set(types)):
                raise ValueError(f"graph {self.name}: {what}: no nodes of type {name!r}; types: {', '.join(types)}")
        for nodes in self.nodes:
            leaving = {name for name, ends in self.relations.items() if ends[0] == nodes.type}
            both = sorted({rule.name for rule in nodes.attributes} & leaving)
            if both:
                raise ValueError(f"graph {self.name}: {both[0]} is an attribute of {nodes.type} and a relation from it")
        for edges in self.edges:
            if edges.constant is not None and edges.constant not in self.relations:
                known = ", ".join(self.relations) or "none"
                raise ValueError(f"graph {self.name}: no relation {edges.constant!r} is declared; declared: {known}")
        for rule in self.rules:
            self.typed(rule)
        return self

    def declared(self) -> set[str]:
        """The names of relations and attributes in the knowledge base, whether there is one of them or not."""
        edges = {f"{begin}.{name}" for name, (begin, _) in self.relations.items()}
        return edges | {f"{nodes.type}.{rule.name}" for nodes in self.nodes for rule in nodes.attributes}

    def typed(self, rule: PathRule) -> Path:
        """The rule's path with relations as they stand in the knowledge base, `type.relation` with the type they
        lead from, so that a node of one type is not taken for one of another with the same id. Raises ValueError for a
        hop that does not leave the type it stands at."""
        try:
            return self._walk(rule.parsed(), self.entity)[0]
        except ValueError as error:
            raise ValueError(f"graph {self.name}, rule {rule.name}: {error}") from None

    def _walk(self, path: Path, at: str) -> tuple[Path, str]:
        """The path with its hops qualified, and the type it ends at, from a node of type `at`."""
        match path:
            case Hop():
                return self._hop(path, at)
            case Sequence():
                steps = []
                for step in path.steps:
                    typed, at = self._walk(step, at)
                    steps.append(typed)
                return Sequence(tuple(steps)), at
            case Alternative():
                choices = [self._walk(choice, at) for choice in path.choices]
                ends = list(dict.fromkeys(end for _, end in choices))
                if len(ends) > 1 and not all(end.startswith(LITERAL) for end in ends):
                    raise ValueError(f"alternatives end at different types: {', '.join(ends)}")
                return Alternative(tuple(choice for choice, _ in choices)), ends[0] if len(ends) == 1 else LITERAL
            case Repeat():
                step, end = self._walk(path.step, at)
                if end != at and path.most > 1:
                    raise ValueError(f"what is repeated leads from {at} to {end}, not back to {at}")
                return Repeat(step, path.least, path.most), end

    def _hop(self, hop: Hop, at: str) -> tuple[Hop, str]:
        known = self._to(at) if hop.inverse else self._from(at)
        if hop.relation not in known:
            how = "arrives at" if hop.inverse else "leaves"
            raise ValueError(f"no relation {hop.relation!r} {how} {at}; known there: {', '.join(known) or 'none'}")
        begin, end = known[hop.relation]
        return Hop(f"{begin}.{hop.relation}", hop.inverse), (begin if hop.inverse else end)

    def _from(self, at: str) -> dict[str, tuple[str, str]]:
        relations = {name: ends for name, ends in self.relations.items() if ends[0] == at}
        attributes = {rule.name for nodes in self.nodes if nodes.type == at for rule in nodes.attributes}
        return relations | {name: (at, f"{LITERAL} of {at}.{name}") for name in sorted(attributes)}

    def _to(self, at: str) -> dict[str, tuple[str, str]]:
        relations = {name: ends for name, ends in self.relations.items() if ends[1] == at}
        if at.startswith(f"{LITERAL} of "):
            begin, _, name = at.removeprefix(f"{LITERAL} of ").partition(".")
            relations[name] = (begin, at)
        return relations
