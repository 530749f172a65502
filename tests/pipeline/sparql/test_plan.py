"""Queries as join plans: against rdflib over real data, and what no plan is made for."""

import pytest

from pipeline.errors import UserError
from pipeline.sparql.parse import parse_query
from pipeline.sparql.plan import solutions
from tests.pipeline.sparql.differential import bags, compare, interpreted
from tests.pipeline.sparql.generate import FEATURES, around, read_ml100k

TRIPLES = [("a", "p", "b"), ("a", "p", "c"), ("b", "q", "c"), ("c", "q", "a"), ("12", "p", "3"), ("A", "r", "a")]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_generated_queries_have_the_answers_of_rdflib(spark, real_data, seed):
    """`make sparql-check` asks 5,000, larger ones too."""
    found = compare(spark, around(read_ml100k(real_data / "ml-100k"), 4, seed), 100, seed, small=True)
    assert found.wrong == []
    assert found.queries["all"] == 100
    assert found.answered["all"] > 40
    assert set(found.queries) == {"all", *FEATURES}


def test_queries_that_are_easy_to_get_wrong(spark):
    """Ours against SPARQL's definition, where rdflib or a naive join differ."""
    queries = {
        "SELECT ?x ?X { ?x <p> ?X }": {("a", "b"): 1, ("a", "c"): 1, ("12", "3"): 1},
        "SELECT ?x { ?x <p>|<p> ?y }": {("a",): 4, ("12",): 2},
        "SELECT ?y { <nowhere> <p>? ?y }": {("nowhere",): 1},
        "SELECT ?y { <a> (<p>/<q>)? ?y }": {("a",): 1, ("c",): 1},
        "SELECT ?x ?y { ?x <p> ?y FILTER(<http://www.w3.org/2001/XMLSchema#double>(str(?x)) > 9) }": {("12", "3"): 1},
        'SELECT ?x { ?x <r> ?y FILTER regex(str(?x), "^a$", "i") FILTER(?x != ?y) }': {("A",): 1},
        "SELECT ?x ?z { ?x <p> ?y OPTIONAL { ?y <q> ?z FILTER(?z != ?x) } }": {
            ("a", "c"): 1,
            ("a", None): 1,
            ("12", None): 1,
        },
        "SELECT ?x ?z { ?x <p> ?y OPTIONAL { ?y <q> ?z } FILTER(!bound(?z)) }": {("12", None): 1},
    }
    with interpreted(spark):
        found = bags(spark, TRIPLES, [parse_query(query, "test") for query in queries])
    assert {query: dict(bag) for query, bag in zip(queries, found, strict=True)} == queries


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT ?a ?c { ?a <p> ?b . ?c <q> ?d }", "share no variable"),
        ("SELECT ?a ?d { ?a <p> ?b OPTIONAL { ?b <q> ?c } OPTIONAL { ?c <r> ?d } }", r"share only \?c"),
        ("SELECT ?a ?b { ?a <p> ?b . ?c <p> ?b }", "4 solutions|would meet at"),
        ("SELECT ?a { ?a <p> ?b FILTER(?b < 3) }", "compares iri with number"),
        ("SELECT ?a { ?a <p> ?b FILTER(?b < ?a) }", "compares iri"),
        ("SELECT ?a { ?a <p> ?b FILTER(regex(?b, 'x')) }", r"use str\(\?x\)"),
        ("SELECT ?a { ?a <p> ?b FILTER(regex(str(?b), '(')) }", "pattern '\\('"),
        ("SELECT ?a { ?a <p> ?b FILTER(isIRI(?b)) }", "isIRI is not supported"),
        ("SELECT ?a { ?a <p> ?b FILTER EXISTS { ?a <q> ?b } }", "EXISTS is not supported"),
        ("SELECT ?a { ?a <p> ?b FILTER(?b) }", "is iri where boolean is wanted"),
        ("SELECT ?a { ?a <p> ?b FILTER(?b IN ()) }", "nothing to compare"),
    ],
)
def test_what_no_plan_is_made_for_says_why(quick, query, message):
    triples_df = quick.createDataFrame([*TRIPLES, ("d", "p", "b")], "head string, relation string, tail string")
    with pytest.raises(UserError, match=f"rule r: .*({message})"):
        solutions(parse_query(query, "rule r"), triples_df, {"p": (2, 2), "q": (1, 1), "r": (1, 1)}, 3, "rule r")
