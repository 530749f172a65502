"""A SPARQL query, read by rdflib, as checked algebra."""

from __future__ import annotations

from typing import Any

from rdflib import paths as rdf_paths
from rdflib import term as rdf
from rdflib.plugins.sparql import sparql as rdf_sparql
from rdflib.plugins.sparql.algebra import translateQuery
from rdflib.plugins.sparql.parser import parseQuery

from pipeline.config.paths import Hop
from pipeline.errors import UserError
from pipeline.sparql.algebra import (
    Basic,
    Chain,
    Choice,
    Filter,
    Join,
    LeftJoin,
    Maybe,
    Pattern,
    PropertyPath,
    Query,
    Term,
    Triple,
    Union,
    Variable,
    inverted,
    variables_of,
)

_UNSUPPORTED = {
    "AggregateJoin": "GROUP BY and aggregates",
    "AskQuery": "ASK",
    "ConstructQuery": "CONSTRUCT",
    "DescribeQuery": "DESCRIBE",
    "Extend": "BIND and AS",
    "Graph": "GRAPH",
    "Group": "GROUP BY and aggregates",
    "Minus": "MINUS",
    "OrderBy": "ORDER BY",
    "Project": "a subquery",
    "Reduced": "REDUCED",
    "ServiceGraphPattern": "SERVICE",
    "Slice": "LIMIT and OFFSET",
    "ToMultiSet": "VALUES and subqueries",
}
"""Names of rdflib's algebra -> what a user wrote."""


def parse_query(text: str, where: str) -> Query:
    """Raises UserError, which begins with `where`, for what is no SPARQL, what is not supported (by name), and for a
    selected variable that nothing binds."""
    try:
        parsed = translateQuery(parseQuery(text))
    except Exception as error:  # rdflib raises plain exceptions too, as for an unknown prefix
        raise UserError(f"{where}: this is no SPARQL query: {str(error).strip() or type(error).__name__}") from None
    return query_of(parsed, where)


def query_of(prepared: rdf_sparql.Query, where: str) -> Query:
    """Of what rdflib has read. Raises UserError as `parse_query` does."""
    parsed = prepared.algebra
    if parsed.name != "SelectQuery":
        raise _refused(where, _UNSUPPORTED.get(parsed.name, parsed.name))
    if parsed.datasetClause:
        raise _refused(where, "FROM")
    inner, distinct = parsed.p, False
    if inner.name == "Distinct":
        inner, distinct = inner.p, True
    if inner.name != "Project":
        raise _refused(where, _UNSUPPORTED.get(inner.name, inner.name))
    pattern = _Translation(where).pattern(inner.p)
    query = Query(tuple(Variable(str(name)) for name in inner.PV), distinct, pattern)
    bound = variables_of(pattern)
    for variable in query.variables:
        if variable not in bound:
            known = ", ".join(sorted(str(one) for one in bound)) or "none"
            raise UserError(f"{where}: {variable} is selected, but nothing in the query binds it; bound are: {known}")
    return query


def _refused(where: str, what: str) -> UserError:
    return UserError(
        f"{where}: {what}: not supported; a query has triple patterns, paths (/ | ^ ?), FILTER, OPTIONAL, UNION and "
        "DISTINCT"
    )


class _Translation:
    """rdflib's algebra -> ours."""

    def __init__(self, where: str) -> None:
        self._where = where

    def pattern(self, part: Any) -> Pattern:
        match part.name:
            case "BGP":
                return Basic(tuple(self._triple(*triple) for triple in part.triples))
            case "Join":
                return Join(self.pattern(part.p1), self.pattern(part.p2))
            case "LeftJoin":
                condition = None if getattr(part.expr, "name", "") == "TrueFilter" else part.expr
                return LeftJoin(self.pattern(part.p1), self.pattern(part.p2), condition)
            case "Union":
                return Union(self.pattern(part.p1), self.pattern(part.p2))
            case "Filter":
                return Filter(self.pattern(part.p), part.expr)
            case name:
                raise _refused(self._where, _UNSUPPORTED.get(name, name))

    def _triple(self, subject: Any, predicate: Any, object_: Any) -> Triple:
        middle = Variable(str(predicate)) if isinstance(predicate, rdf.Variable) else self._path(predicate)
        return Triple(self._term(subject), middle, self._term(object_))

    def _term(self, term: Any) -> Term:
        if isinstance(term, rdf.Variable):
            return Variable(str(term))
        if isinstance(term, rdf.BNode):
            return Variable(f"_:{term}")
        if isinstance(term, rdf.URIRef):
            return str(term)
        raise UserError(
            f"{self._where}: the literal {term.n3()} in a triple pattern matches nothing: every value of the knowledge "
            f"base is an IRI; write <{term}>, or a FILTER on str(?x)"
        )

    def _path(self, path: Any) -> PropertyPath:
        if isinstance(path, rdf.URIRef):
            return Hop(str(path))
        if isinstance(path, rdf_paths.InvPath):
            return inverted(self._path(path.arg))
        if isinstance(path, rdf_paths.SequencePath):
            return Chain(tuple(self._path(step) for step in path.args))
        if isinstance(path, rdf_paths.AlternativePath):
            return Choice(tuple(self._path(choice) for choice in path.args))
        if isinstance(path, rdf_paths.MulPath):
            if path.more:
                raise _refused(self._where, f"the unbounded path {path.mod} (write the lengths out: p|p/p|p/p/p)")
            return Maybe(self._path(path.path))
        raise _refused(
            self._where, "a negated property set (!)" if isinstance(path, rdf_paths.NegatedPath) else str(path)
        )
