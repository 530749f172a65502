"""First-order facts `p(a, b)` and `p(a)`, and Horn rules that derive more of them."""

from __future__ import annotations

from pydantic import Field, field_validator

from pipeline.config.base import Section
from pipeline.config.checked import Name
from pipeline.config.graphs import PathRule
from pipeline.config.horn import parse_rules


class Facts(Section):
    """Concepts `NAME.rule=value` of the constants a for which `entity(a)` is a fact of the file."""

    name: Name
    path: str
    """A text file, a fact a line: `bought(ann, x1).`; `%` begins a comment. May hold {data} and {workdir}."""
    entity: Name
    """A predicate of one argument."""
    rules: list[PathRule] = Field(min_length=1)
    """Paths over predicates of two arguments; one of one argument leads from its constants to `true`."""


class Derive(Section):
    """More triples of the knowledge base, of triples, graphs and facts alike, by Horn rules."""

    rules: list[str] = []
    """`under(X, Z) :- in(X, Y), under(Y, Z).`: words that begin with a capital letter are variables, other words,
    numbers and quoted texts are constants."""
    depth: int = Field(default=3, ge=0, le=50)
    """How often rules that lead back to themselves are applied, one after the other; others are applied once."""

    @field_validator("rules")
    @classmethod
    def _are_rules(cls, rules: list[str]) -> list[str]:
        parse_rules(rules)
        return rules
