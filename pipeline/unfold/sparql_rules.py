"""Rules of kind sparql: what a query finds for each value, as meta-paths have it: start, value, weight."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.config.rules import Rule
from pipeline.errors import UserError
from pipeline.exact import EXACT
from pipeline.sparql.algebra import Query, relations_of
from pipeline.sparql.filters import number_of
from pipeline.sparql.parse import parse_query
from pipeline.sparql.plan import Degrees, solutions

_ROLES = ("start", "value", "weight")


def check_query(triples_df: DataFrame, degrees: Degrees, rule: Rule, limit: int, where: str) -> None:
    """Raises UserError for a query that does not fit the rule or the knowledge base, and for a hub."""
    query = parse_query(rule.query or "", where)
    if "weight" in _roles(query, where) and rule.aggregate == "count":
        raise UserError(f"{where}: aggregate count ignores the query's ?weight; use sum or max")
    for relation in sorted(relations_of(query.pattern) - set(degrees)):
        known = ", ".join(sorted(degrees))
        raise UserError(f"{where}: no relation {relation!r} in the knowledge base; it has: {known}")
    solutions(query, triples_df, degrees, limit, where)


def found(triples_df: DataFrame, rule: Rule) -> DataFrame:
    """start, value, weight double (null where ?weight is no number): each pair once. The query is one that
    `check_query` has passed; solutions without start or value are left out."""
    query = parse_query(rule.query or "", rule.name)
    roles = _roles(query, rule.name)
    bag_df = solutions(query, triples_df, {}, None, rule.name)  # no hub is looked for again
    weight = F.col("n").cast("double")
    if "weight" in roles:
        weight = (F.col("n") * number_of(F.col(roles["weight"]))).cast(EXACT)
    weighed_df = bag_df.select(
        F.col(roles["start"]).alias("start"), F.col(roles["value"]).alias("value"), weight.alias("weight")
    )
    paired_df = weighed_df.where(F.col("start").isNotNull() & F.col("value").isNotNull())
    return paired_df.groupBy("start", "value").agg(F.sum("weight").cast("double").alias("weight"))


def _roles(query: Query, where: str) -> Mapping[str, str]:
    """start, value and perhaps weight -> column of the solutions: by name, else by place."""
    names = [variable.name for variable in query.variables]
    if set(names) & set(_ROLES):
        wrong = sorted(set(names) - set(_ROLES)) or sorted(set(_ROLES[:2]) - set(names))
        if wrong:
            raise UserError(f"{where}: selects {_listed(names)}: wanted are ?start, ?value and perhaps ?weight")
        return {name: f"v{i}" for i, name in enumerate(names)}
    if len(names) not in (2, 3):
        raise UserError(f"{where}: selects {_listed(names)}: wanted are a start, a value and perhaps a weight")
    return {role: f"v{i}" for i, role in enumerate(_ROLES[: len(names)])}


def _listed(names: list[str]) -> str:
    return ", ".join(f"?{name}" for name in names) or "nothing"
