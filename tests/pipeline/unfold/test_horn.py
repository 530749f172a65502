"""Horn rules: what they derive, against a plain evaluator; what is refused."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import load_config
from pipeline.config.facts import Derive
from pipeline.config.horn import Atom, HornRule, Var, parse_rules, strata_of
from pipeline.errors import UserError
from pipeline.unfold.horn import derived

TRIPLES = "head string, relation string, tail string"
X, Y, Z = Var("X"), Var("Y"), Var("Z")


def plainly(triples: set[tuple[str, str, str]], rules: list[HornRule], depth: int) -> set[tuple[str, str, str]]:
    """Every rule over every combination of values, a stratum after the other."""
    known = set(triples)
    for stratum in strata_of(rules):
        heads = {rule.head.predicate for rule in stratum}
        recursive = [rule for rule in stratum if any(atom.predicate in heads for atom in rule.body)]
        known |= set().union(*(follows(known, rule) for rule in stratum if rule not in recursive))
        for _ in range(depth if recursive else 0):
            known |= set().union(*(follows(known, rule) for rule in recursive))
    return known - triples


def follows(known: set[tuple[str, str, str]], rule: HornRule) -> set[tuple[str, str, str]]:
    values = sorted({value for head, _, tail in known for value in (head, tail)})
    variables = list(dict.fromkeys(variable for atom in rule.body for variable in atom.variables))
    found = set()
    for chosen in product(values, repeat=len(variables)):
        bound = dict(zip(variables, chosen, strict=True))
        if all(fact(atom, bound) in known for atom in rule.body):
            found.add(fact(rule.head, bound))
    return found


def fact(atom: Atom, bound: dict[Var, str]) -> tuple[str, str, str]:
    values = [bound[one] if isinstance(one, Var) else one for one in atom.arguments]
    return values[0], atom.predicate, values[1] if len(values) == 2 else "true"


PROGRAMS = [
    ["r(X, Y) :- p(X, Y).", "r(X, Z) :- r(X, Y), p(Y, Z).", "s(X) :- r(X, X)."],
    ["r(X, Y) :- p(X, Y).", "r(X, Z) :- r(X, Y), r(Y, Z).", "t(X, a) :- r(X, b), q(X, _)."],
    ["r(X, Z) :- q(X, Y), s(Y, Z).", "s(X, Z) :- p(X, Y), r(Y, Z).", "s(X, X) :- p(X, _)."],
    ["p(Y, X) :- p(X, Y), q(X, X).", "r(X, Y) :- p(X, Y), u(X).", "u(X) :- q(_, X)."],
]
nodes = st.sampled_from("abcd")
graphs = st.sets(st.tuples(nodes, st.sampled_from("pq"), nodes), min_size=2, max_size=8).map(
    lambda triples: triples | {("a", "p", "b"), ("b", "q", "b")}
)


@pytest.mark.parametrize("program", PROGRAMS)
@settings(max_examples=1, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(triples=graphs, depth=st.integers(1, 3))
def test_rules_derive_what_a_plain_evaluator_derives(quick, program, triples, depth):
    triples_df = quick.createDataFrame(sorted(triples), TRIPLES).coalesce(1).cache()
    found = [tuple(row) for row in derived(triples_df, Derive(rules=program, depth=depth), 10**6).collect()]
    assert len(found) == len(set(found))
    assert set(found) == plainly(triples, parse_rules(program), depth)


def test_rules_are_read_with_variables_constants_and_quotes():
    (rule,) = parse_rules(["""'made by'(X, "New York") :- p.q(X, _), r(_, X), s(x1, 'it\\'s')."""])
    assert rule.head == Atom("made by", (X, "New York"))
    assert rule.body == (Atom("p.q", (X, Var("_0"))), Atom("r", (Var("_1"), X)), Atom("s", ("x1", "it's")))


def test_strata_come_in_the_order_of_use():
    texts = ["c(X) :- b(X).", "b(X) :- a(X), d(X).", "d(X) :- b(X).", "e(X) :- f(X)."]
    assert [[rule.head.predicate for rule in stratum] for stratum in strata_of(parse_rules(texts))] in (
        [["e"], ["b", "d"], ["c"]],
        [["b", "d"], ["e"], ["c"]],
        [["b", "d"], ["c"], ["e"]],
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["above(X, Z) :- in(X, Y)."], "is not safe: its head has Z, which no atom of the body binds"),
        (["above(X, _) :- in(X, Y)."], "is not safe: its head has _"),
        (["r(X, Y) :- p(X, X), q(Y, Y)."], "share no variable with the others"),
        (["r(X, Y) :- p(X, Y).", "s(X) :- p(X)."], r"p has 1 arguments, but 2 in 'r\(X, Y\)"),
        (["r(X, Y, Z) :- p(X, Y), p(Y, Z)."], "is no rule such as .*character 7"),
        (["r(X, Y)"], "is no rule such as"),
        (["r(X, Y) :- p(X, Y)"], "at the end"),
        (["r(X, Y) :- not p(X, Y)."], "is no rule such as"),
        (["R(X, Y) :- p(X, Y)."], "Expected a predicate"),
    ],
)
def test_what_is_no_safe_rule_is_refused_when_the_configuration_is_read(rules, message):
    with pytest.raises(UserError, match=f"derive.rules: .*{message}"):
        load_config([], [f"derive={{rules: {rules!r}}}".replace("\\\\'", "''")])


def test_rules_with_nothing_to_derive_from_are_refused():
    with pytest.raises(UserError, match=r"derive\.rules have nothing to derive from"):
        load_config([], ["derive={rules: ['r(X, Y) :- p(X, Y).']}"])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("r(X, Y) :- near(X, Y).", "no fact and no rule has near; known: is, p, r"),
        ("r(X) :- p(X).", "p has one argument here and two in the facts"),
        ("r(X, Y) :- p(X, Z), p(Y, Z).", "9 solutions would meet at .Z = 'hub'.*max_fanout = 8"),
    ],
)
def test_unknown_predicates_and_hubs_are_refused(quick, rule, message):
    triples = [(f"n{i}", "p", "hub") for i in range(3)] + [("n1", "is", "true")]
    with pytest.raises(UserError, match=f"derive: rule .*{message}"):
        derived(quick.createDataFrame(triples, TRIPLES), Derive(rules=[rule]), 8)
