"""FILTER expressions as Columns. Null stands for an unbound variable and for SPARQL's error, so that SQL's logic of
three values is SPARQL's.

Types are known beforehand, as variables are bound to IRIs alone; what could only be an error for every solution is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark.errors import IllegalArgumentException
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F
from rdflib import XSD
from rdflib import term as rdf

from pipeline.errors import UserError
from pipeline.sparql.algebra import Variable

_NUMBER = r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_ORDERS: dict[str, Callable[[Column, Column], Column]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}
_TEXTS: dict[str, Callable[[Column, Column], Column]] = {
    "Builtin_STRSTARTS": lambda text, part: F.startswith(text, part),
    "Builtin_STRENDS": lambda text, part: F.endswith(text, part),
    "Builtin_CONTAINS": lambda text, part: F.contains(text, part),
}
_OF_TEXT: dict[str, tuple[str, Callable[[Column], Column]]] = {
    "Builtin_LCASE": ("text", F.lower),
    "Builtin_UCASE": ("text", F.upper),
    "Builtin_STRLEN": ("number", lambda text: F.length(text).cast("double")),
}


@dataclass(frozen=True, slots=True)
class _Typed:
    kind: str  # iri, text, number or boolean
    column: Column


def number_of(text: Column) -> Column:
    """xsd:double of text; null for what is none, for INF and for NaN."""
    return F.when(text.rlike(_NUMBER), text.try_cast("double"))


def condition_of(expression: Any, columns: Mapping[Variable, Column], where: str) -> Column:
    """A FILTER's condition: true, false or null. Raises UserError for what is not supported, by name."""
    return _Compiler(columns, where).of(expression, "boolean")


class _Compiler:
    def __init__(self, columns: Mapping[Variable, Column], where: str) -> None:
        self._columns = columns
        self._where = where

    def of(self, expression: Any, kind: str) -> Column:
        """An expression of the kind that is wanted."""
        typed = self._typed(expression)
        if typed.kind != kind:
            hint = {"text": "str(?x)", "number": "xsd:double(str(?x))"}.get(kind, "a comparison")
            raise self._wrong(f"{self._named(expression)} is {typed.kind} where {kind} is wanted: use {hint}")
        return typed.column

    def _typed(self, expression: Any) -> _Typed:
        if isinstance(expression, rdf.Variable):
            return _Typed("iri", self._columns.get(Variable(str(expression)), F.lit(None).cast("string")))
        if isinstance(expression, rdf.URIRef):
            return _Typed("iri", F.lit(str(expression)))
        if isinstance(expression, rdf.Literal):
            return self._literal(expression)
        match expression.name:
            case "ConditionalAndExpression" | "ConditionalOrExpression":
                parts = [self.of(part, "boolean") for part in (expression.expr, *expression.other)]
                both = expression.name == "ConditionalAndExpression"
                return _Typed("boolean", reduce(lambda one, other: one & other if both else one | other, parts))
            case "UnaryNot":
                return _Typed("boolean", ~self.of(expression.expr, "boolean"))
            case "RelationalExpression":
                return _Typed("boolean", self._relational(expression))
            case "Builtin_BOUND":
                return _Typed("boolean", self._typed(expression.arg).column.isNotNull())
            case "Builtin_sameTerm":
                return _Typed("boolean", self.of(expression.arg1, "iri") == self.of(expression.arg2, "iri"))
            case "Builtin_STR":
                typed = self._typed(expression.arg)
                if typed.kind not in ("iri", "text"):
                    raise self._wrong(f"str() of {typed.kind} is not supported")
                return _Typed("text", typed.column)
            case "Builtin_REGEX":
                return _Typed("boolean", self._regex(expression))
            case name if name in _TEXTS:
                text, part = self.of(expression.arg1, "text"), self.of(expression.arg2, "text")
                return _Typed("boolean", _TEXTS[name](text, part))
            case name if name in _OF_TEXT:
                kind, function = _OF_TEXT[name]
                return _Typed(kind, function(self.of(expression.arg, "text")))
            case "Function" if expression.iri == XSD.double:
                return _Typed("number", number_of(self.of(expression.expr[0], "text")))
            case _:
                raise self._wrong(f"{self._named(expression)} is not supported in a FILTER")

    def _literal(self, literal: rdf.Literal) -> _Typed:
        if literal.language is None and literal.datatype in (None, XSD.string):
            return _Typed("text", F.lit(str(literal)))
        if literal.datatype == XSD.boolean and isinstance(literal.value, bool):
            return _Typed("boolean", F.lit(literal.value))
        if literal.datatype in (XSD.integer, XSD.decimal, XSD.double) and literal.value is not None:
            return _Typed("number", F.lit(float(literal.value)))
        raise self._wrong(f"the literal {literal.n3()} is not supported: use text, true, false or a number")

    def _relational(self, expression: Any) -> Column:
        typed = self._typed(expression.expr)
        if expression.op in ("IN", "NOT IN"):
            if expression.other == rdf.URIRef("http://www.w3.org/1999/02/22-rdf-syntax-ns#nil"):
                raise self._wrong(f"{expression.op} () has nothing to compare with")
            is_in = typed.column.isin(*(self.of(one, typed.kind) for one in expression.other))
            return is_in if expression.op == "IN" else ~is_in
        other = self._typed(expression.other)
        if typed.kind != other.kind:
            hint = "every value is an IRI: write <x>, str(?x) or xsd:double(str(?x))"
            raise self._wrong(f"{expression.op} compares {typed.kind} with {other.kind}; {hint}")
        if typed.kind in ("iri", "boolean") and expression.op not in ("=", "!="):
            raise self._wrong(f"{expression.op} compares {typed.kind}; compare str(?x) or xsd:double(str(?x))")
        return _ORDERS[expression.op](typed.column, other.column)

    def _regex(self, expression: Any) -> Column:
        pattern, flags = expression.pattern, str(expression.flags or "")
        if not isinstance(pattern, rdf.Literal) or not re.fullmatch("[imsx]*", flags):
            raise self._wrong("regex() takes a pattern and flags (i, m, s, x) written as text")
        whole = f"(?U{flags}){pattern}"
        spark = SparkSession.getActiveSession()
        assert spark is not None
        assert spark._jvm is not None
        try:
            spark._jvm.java.util.regex.Pattern.compile(whole)
        except IllegalArgumentException as error:
            reason = str(error).strip().splitlines()[0]
            raise self._wrong(f"regex() pattern {str(pattern)!r}: {reason}") from None
        return self.of(expression.text, "text").rlike(whole)

    def _named(self, expression: Any) -> str:
        if isinstance(expression, rdf.Variable | rdf.URIRef | rdf.Literal):
            return str(expression.n3())
        if expression.name == "Function":
            return f"<{expression.iri}>()"
        return str(expression.name).removeprefix("Builtin_")

    def _wrong(self, what: str) -> UserError:
        return UserError(f"{self._where}: FILTER: {what}")
