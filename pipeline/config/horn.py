"""The language of Horn rules, parsed and checked: `under(X, Z) :- in(X, Y), under(Y, Z).`

rule      = atom ":-" atom { "," atom } "."
atom      = predicate "(" term [ "," term ] ")"
predicate = a word that begins with a small letter, dots inside, or a text in quotes
term      = a variable (a word that begins with a capital letter, or `_`, each of which is another)
          | a constant (a word that begins with a small letter or a digit, or a text in quotes)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyparsing as pp


@dataclass(frozen=True, slots=True)
class Var:
    name: str


Argument = Var | str
"""A variable or a constant."""


@dataclass(frozen=True, slots=True)
class Atom:
    predicate: str
    arguments: tuple[Argument, ...]

    @property
    def variables(self) -> list[Var]:
        return [one for one in self.arguments if isinstance(one, Var)]


@dataclass(frozen=True, slots=True)
class HornRule:
    """`text`: as it was written."""

    head: Atom
    body: tuple[Atom, ...]
    text: str


def parse_rules(texts: Sequence[str]) -> list[HornRule]:
    """Raises ValueError for what is no rule, for an unsafe one (a variable in the head that no atom of the body binds),
    for atoms that share no variable, and for a predicate of one argument here and two there."""
    rules = [_parse(text) for text in texts]
    arity: dict[str, tuple[int, str]] = {}
    for rule in rules:
        for atom in (rule.head, *rule.body):
            n, text = arity.setdefault(atom.predicate, (len(atom.arguments), rule.text))
            if n != len(atom.arguments):
                raise ValueError(
                    f"rule {rule.text!r}: {atom.predicate} has {len(atom.arguments)} arguments, but {n} in {text!r}"
                )
    return rules


def strata_of(rules: Sequence[HornRule]) -> list[list[HornRule]]:
    """The rules in the order in which they are applied: those of a stratum lead to each other, what else they use is
    of strata before."""
    uses: dict[str, set[str]] = {}
    for rule in rules:
        uses.setdefault(rule.head.predicate, set()).update(atom.predicate for atom in rule.body)
    reach = {head: _reached(head, uses) for head in uses}
    together = [
        frozenset(other for other in uses if other == head or (other in reach[head] and head in reach[other]))
        for head in uses
    ]
    # What a stratum reaches holds what the strata before it reach, and more.
    ordered = sorted(
        dict.fromkeys(together), key=lambda heads: len(set().union(*(reach[head] | {head} for head in heads)))
    )
    return [[rule for rule in rules if rule.head.predicate in heads] for heads in ordered]


def _reached(head: str, uses: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    left = [head]
    while left:
        for one in uses.get(left.pop(), ()):
            if one not in found:
                found.add(one)
                left.append(one)
    return found


def _parse(text: str) -> HornRule:
    try:
        head, body = _RULE.parse_string(text, parse_all=True)
    except pp.ParseBaseException as error:
        rest = text[error.loc :].strip()
        there = repr(rest[:20]) if rest else "the end"
        raise ValueError(
            f"{text!r} is no rule such as `under(X, Z) :- in(X, Y), under(Y, Z).`: character {error.loc + 1}, at "
            f"{there}: {error.msg}"
        ) from None
    numbers = iter(range(1_000_000))
    rule = HornRule(_atom(head, numbers), tuple(_atom(atom, numbers) for atom in body), text)
    _check(rule)
    return rule


def _atom(parsed: pp.ParseResults, numbers: Iterator[int]) -> Atom:
    """`_` is a new variable wherever it stands."""
    predicate, *arguments = parsed
    named = [Var(f"_{next(numbers)}") if one == Var("_") else one for one in arguments]
    return Atom(predicate, tuple(named))


def _check(rule: HornRule) -> None:
    bound = {variable for atom in rule.body for variable in atom.variables}
    for variable in rule.head.variables:
        if variable not in bound:
            name = "_" if variable.name[1:].isdigit() and variable.name[0] == "_" else variable.name
            raise ValueError(
                f"rule {rule.text!r} is not safe: its head has {name}, which no atom of the body binds, so everything "
                "there is would be true"
            )
    left = [set(atom.variables) for atom in rule.body if atom.variables]
    joined = left.pop(0) if left else set()
    while left:
        place = next((i for i, one in enumerate(left) if one & joined), None)
        if place is None:
            raise ValueError(
                f"rule {rule.text!r}: atoms of the body share no variable with the others, so every two solutions "
                "would be combined"
            )
        joined |= left.pop(place)


def _grammar() -> pp.ParserElement:
    mark = {one: pp.Suppress(one) for one in ("(", ")", ",", ".", ":-")}
    quoted = pp.QuotedString("'", esc_char="\\") | pp.QuotedString('"', esc_char="\\")
    predicate = quoted | pp.Regex(r"[a-z]\w*(\.\w+)*").set_name("a predicate")
    variable = pp.Regex(r"[A-Z_]\w*").set_parse_action(lambda found: Var(found[0]))
    constant = quoted | pp.Regex(r"[a-z0-9+-][\w:+@/#-]*(\.[\w:+@/#-]+)*")
    term = (variable | constant).set_name("a variable or constant")
    atom = pp.Group(predicate + mark["("] + term + pp.Opt(mark[","] + term) + mark[")"])
    return atom + mark[":-"] + pp.Group(pp.DelimitedList(atom)) + mark["."]


_RULE = _grammar()
