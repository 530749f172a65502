"""What is SPARQL, and what of it is refused by name."""

import pytest

from pipeline.config.paths import Hop
from pipeline.errors import UserError
from pipeline.sparql.algebra import Basic, Chain, Maybe, Triple, Variable
from pipeline.sparql.parse import parse_query

A, B = Variable("a"), Variable("b")


def test_a_query_is_read_with_its_paths():
    query = parse_query("PREFIX f: <film.> SELECT DISTINCT ?b ?a { ?a f:actor/^(<p>/<q>?) ?b . <x> <p> ?a }", "rule r")
    assert query.variables == (B, A)
    assert query.distinct
    path = Chain((Hop("film.actor"), Maybe(Hop("q", inverse=True)), Hop("p", inverse=True)))
    flat = Chain((Hop("film.actor"), Chain((Maybe(Hop("q", inverse=True)), Hop("p", inverse=True)))))
    assert isinstance(query.pattern, Basic)
    assert set(query.pattern.triples) in (
        {Triple(A, path, B), Triple("x", Hop("p"), A)},
        {Triple(A, flat, B), Triple("x", Hop("p"), A)},
    )


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT ?a (COUNT(?b) AS ?n) { ?a <p> ?b } GROUP BY ?a", "BIND and AS|GROUP BY"),
        ("SELECT ?a ?c { ?a <p> ?b BIND(str(?b) AS ?c) }", "BIND"),
        ("SELECT ?a ?b { ?a <p> ?b MINUS { ?a <q> ?b } }", "MINUS"),
        ("SELECT ?a ?b { ?a <p> ?b VALUES ?b { <x> } }", "VALUES"),
        ("SELECT ?a ?b { ?a <p> ?b { SELECT ?a { ?a <q> ?c } } }", "subquer"),
        ("SELECT ?a ?b { GRAPH <g> { ?a <p> ?b } }", "GRAPH"),
        ("SELECT ?a ?b { SERVICE <http://localhost:1/> { ?a <p> ?b } }", "SERVICE"),
        ("SELECT ?a ?b FROM <g> { ?a <p> ?b }", "FROM"),
        ("SELECT ?a ?b { ?a <p> ?b } ORDER BY ?a", "ORDER BY"),
        ("SELECT ?a ?b { ?a <p> ?b } LIMIT 3", "LIMIT"),
        ("SELECT REDUCED ?a ?b { ?a <p> ?b }", "REDUCED"),
        ("SELECT ?a ?b { ?a <p>* ?b }", r"unbounded path \*"),
        ("SELECT ?a ?b { ?a <q>/<p>+ ?b }", r"unbounded path \+"),
        ("SELECT ?a ?b { ?a !<p> ?b }", "negated property set"),
        ("ASK { ?a <p> ?b }", "ASK"),
        ("CONSTRUCT { ?a <q> ?b } WHERE { ?a <p> ?b }", "CONSTRUCT"),
        ("DESCRIBE <x>", "DESCRIBE"),
        ('SELECT ?a { ?a <p> "x" }', "every value of the knowledge base is an IRI"),
        ("SELECT ?a ?z { ?a <p> ?b }", r"\?z is selected, but nothing in the query binds it; bound are: \?a, \?b"),
        ("SELECT ?a { ?a <p> }", "no SPARQL query"),
        ("SELECT ?a { ?a none:p ?b }", "no SPARQL query"),
        ("", "no SPARQL query"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(query, what):
    with pytest.raises(UserError, match=f"rule r: .*({what})"):
        parse_query(query, "rule r")
