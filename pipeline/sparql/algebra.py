"""What a query may consist of: SPARQL's algebra, as far as it is supported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.config.paths import Hop


@dataclass(frozen=True, slots=True)
class Variable:
    """`?name`; a blank node of a query is one, with a name that no query can write."""

    name: str

    def __str__(self) -> str:
        return f"?{self.name}"


Term = Variable | str
"""A variable, or a value of the knowledge base."""


@dataclass(frozen=True, slots=True)
class Maybe:
    """`p?`: the path, or none at all; as a set, as SPARQL has it."""

    step: PropertyPath


@dataclass(frozen=True, slots=True)
class Chain:
    """`p/q`."""

    steps: tuple[PropertyPath, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """`p|q`."""

    choices: tuple[PropertyPath, ...]


PropertyPath = Hop | Chain | Choice | Maybe


@dataclass(frozen=True, slots=True)
class Triple:
    """A triple pattern."""

    subject: Term
    predicate: Variable | PropertyPath
    object: Term


@dataclass(frozen=True, slots=True)
class Basic:
    """A basic graph pattern."""

    triples: tuple[Triple, ...]


@dataclass(frozen=True, slots=True)
class Join:
    left: Pattern
    right: Pattern


@dataclass(frozen=True, slots=True)
class LeftJoin:
    """OPTIONAL; `condition`: the FILTER of the optional part (an expression of rdflib), None for no such."""

    left: Pattern
    right: Pattern
    condition: Any


@dataclass(frozen=True, slots=True)
class Union:
    left: Pattern
    right: Pattern


@dataclass(frozen=True, slots=True)
class Filter:
    pattern: Pattern
    condition: Any


Pattern = Basic | Join | LeftJoin | Union | Filter


@dataclass(frozen=True, slots=True)
class Query:
    variables: tuple[Variable, ...]
    """What is selected, in the order of the query."""
    distinct: bool
    pattern: Pattern


def inverted(path: PropertyPath) -> PropertyPath:
    """The path from its end to its start."""
    match path:
        case Hop():
            return Hop(path.relation, not path.inverse)
        case Chain():
            return Chain(tuple(inverted(step) for step in reversed(path.steps)))
        case Choice():
            return Choice(tuple(inverted(choice) for choice in path.choices))
        case Maybe():
            return Maybe(inverted(path.step))


def triples_of(pattern: Pattern) -> Iterator[Triple]:
    """Every triple pattern in it."""
    match pattern:
        case Basic():
            yield from pattern.triples
        case Filter():
            yield from triples_of(pattern.pattern)
        case Join() | LeftJoin() | Union():
            yield from triples_of(pattern.left)
            yield from triples_of(pattern.right)


def relations_of(pattern: Pattern) -> set[str]:
    """The relations that it names."""

    def of(path: PropertyPath) -> set[str]:
        match path:
            case Hop():
                return {path.relation}
            case Maybe():
                return of(path.step)
            case Chain(steps=parts) | Choice(choices=parts):
                return set().union(*map(of, parts))

    return set().union(*(of(one.predicate) for one in triples_of(pattern) if not isinstance(one.predicate, Variable)))


def variables_of(pattern: Pattern) -> set[Variable]:
    """The variables that it can bind."""
    terms = (term for one in triples_of(pattern) for term in (one.subject, one.predicate, one.object))
    return {term for term in terms if isinstance(term, Variable)}
