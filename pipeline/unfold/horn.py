"""Horn rules applied to the triples: each rule one SPARQL-like join plan, recursion semi-naive to the declared depth.

p(a, b) is the triple (a, p, b), p(a) the triple (a, p, true). A derived fact is true or not: it has no count.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config.facts import Derive
from pipeline.config.horn import Argument, Atom, HornRule, Var, parse_rules, strata_of
from pipeline.config.paths import Hop
from pipeline.errors import UserError
from pipeline.sources.facts import TRUE
from pipeline.sparql.algebra import Basic, Query, Term, Triple, Variable
from pipeline.sparql.plan import solutions
from pipeline.unfold.hubs import degrees_of

logger = logging.getLogger(__name__)
_COLUMNS = ("head", "relation", "tail")
_NEW = "\0new "
"""Before the name of a predicate: only what the round before has found of it. No predicate begins so."""


def derived(triples_df: DataFrame, derive: Derive, limit: int) -> DataFrame:
    """The triples (head, relation, tail) that the rules add, each once and none of `triples_df`.

    limit: `unfold.max_fanout`. Raises UserError for a predicate that neither the triples nor a rule has, and for a hub.
    """
    rules = parse_rules(derive.rules)
    _check_predicates(triples_df, rules)
    known_df = triples_df.select(*_COLUMNS)
    found: list[DataFrame] = []
    for stratum in strata_of(rules):
        heads = {rule.head.predicate for rule in stratum}
        recursive = [rule for rule in stratum if any(atom.predicate in heads for atom in rule.body)]
        plain = [rule for rule in stratum if rule not in recursive]
        if plain:
            new_df = _round(known_df, [(rule, rule.body) for rule in plain], limit)
            found.append(new_df)
            known_df = known_df.unionByName(new_df)
        if recursive:
            steps = _recursion(known_df, recursive, heads, derive.depth, limit)
            found += steps
            known_df = reduce(DataFrame.unionByName, steps, known_df)
    return reduce(DataFrame.unionByName, found)


def _recursion(
    known_df: DataFrame, rules: Sequence[HornRule], heads: set[str], depth: int, limit: int
) -> list[DataFrame]:
    """What each round finds. A round asks for each recursive atom what follows from what is new there."""
    bodies = [
        (rule, (*rule.body[:i], Atom(_NEW + atom.predicate, atom.arguments), *rule.body[i + 1 :]))
        for rule in rules
        for i, atom in enumerate(rule.body)
        if atom.predicate in heads
    ]
    new_df = known_df.where(F.col("relation").isin(sorted(heads)))
    found: list[DataFrame] = []
    for _ in range(depth):
        marked_df = new_df.select("head", F.concat(F.lit(_NEW), "relation").alias("relation"), "tail")
        new_df = _round(known_df.unionByName(marked_df), bodies, limit)
        if new_df.isEmpty():
            return found
        found.append(new_df)
        known_df = known_df.unionByName(new_df)
    logger.info("%s: derived to depth %d; what is further is left out", ", ".join(sorted(heads)), depth)
    return found


def _round(known_df: DataFrame, bodies: Sequence[tuple[HornRule, tuple[Atom, ...]]], limit: int) -> DataFrame:
    """The facts that the bodies make true and that are not known. Held, so that no plan grows with the rounds."""
    degrees = degrees_of(known_df)
    parts = [_applied(known_df, degrees, rule, body, limit) for rule, body in bodies]
    new_df = reduce(DataFrame.unionByName, parts).distinct()
    return new_df.join(known_df, list(_COLUMNS), "left_anti").localCheckpoint()


def _applied(
    known_df: DataFrame, degrees: dict[str, tuple[int, int]], rule: HornRule, body: tuple[Atom, ...], limit: int
) -> DataFrame:
    """The head for each solution of a body."""
    asked = list(dict.fromkeys(rule.head.variables)) or list(dict.fromkeys(v for atom in body for v in atom.variables))
    pattern = Basic(tuple(_triple(atom) for atom in body))
    query = Query(tuple(Variable(one.name) for one in asked), True, pattern)
    found_df = solutions(query, known_df, degrees, limit, f"derive: rule {rule.text!r}")

    def value(argument: Argument) -> Column:
        return F.col(f"v{asked.index(argument)}") if isinstance(argument, Var) else F.lit(argument)

    first, *second = rule.head.arguments
    tail = value(second[0]) if second else F.lit(TRUE)
    return found_df.select(value(first).alias("head"), F.lit(rule.head.predicate).alias("relation"), tail.alias("tail"))


def _triple(atom: Atom) -> Triple:
    def term(argument: Argument) -> Term:
        return Variable(argument.name) if isinstance(argument, Var) else argument

    first, *second = atom.arguments
    return Triple(term(first), Hop(atom.predicate), term(second[0]) if second else TRUE)


def _check_predicates(triples_df: DataFrame, rules: Sequence[HornRule]) -> None:
    other = F.count_if(F.col("tail") != TRUE).alias("other")
    found = {row["relation"]: row["other"] for row in triples_df.groupBy("relation").agg(other).collect()}
    heads = {rule.head.predicate for rule in rules}
    for rule in rules:
        for atom in (rule.head, *rule.body):
            if atom.predicate not in heads | found.keys():
                known = ", ".join(sorted(heads | found.keys()))
                raise UserError(f"derive: rule {rule.text!r}: no fact and no rule has {atom.predicate}; known: {known}")
            if len(atom.arguments) == 1 and found.get(atom.predicate):
                raise UserError(
                    f"derive: rule {rule.text!r}: {atom.predicate} has one argument here and two in the facts"
                )
