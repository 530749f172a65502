"""Meta-paths through the knowledge base: from a value, hop by hop, to the values it reaches."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.config import Config
from pipeline.config.horn import parse_rules
from pipeline.config.paths import hops_of, parse_path
from pipeline.config.rules import Rule
from pipeline.errors import UserError
from pipeline.sources import quoted
from pipeline.sources.columns import as_text, type_of
from pipeline.unfold.hubs import check_fanout, degrees_of
from pipeline.unfold.metapaths import reached
from pipeline.unfold.rules import path_column, split_text
from pipeline.unfold.sparql_rules import check_query, found


def check_paths(config: Config, triples_df: DataFrame | None) -> None:
    """Raises UserError for a path rule without a knowledge base, over a relation that is not in it, or with more paths
    through one node than `unfold.max_fanout`."""
    wanted = [
        (f"source {source.name}, rule {rule.name}", parse_path(rule.path or ""))
        for source in config.sources
        for rule in source.rules
        if rule.kind == "path"
    ]
    queries = [
        (f"source {source.name}, rule {rule.name}", rule)
        for source in config.sources
        for rule in source.rules
        if rule.kind == "sparql"
    ]
    if not wanted and not queries:
        return
    if triples_df is None:
        raise UserError(
            f"{[*wanted, *queries][0][0]}: a rule of kind path or sparql needs a knowledge_base, graphs or "
            "facts, and none is declared"
        )
    degrees = degrees_of(triples_df)
    # Of what is declared there may be nothing before the cutoff.
    declared = {rule.head.predicate for rule in parse_rules(config.derive.rules)}
    declared |= set().union(*(graph.declared() for graph in config.graphs))
    for where, path in wanted:
        for hop in hops_of(path):
            if hop.relation not in declared | degrees.keys():
                known = ", ".join(sorted(declared | degrees.keys()))
                raise UserError(f"{where}: no relation {hop.relation!r} in the knowledge base; it has: {known}")
    for where, path in wanted:
        check_fanout(triples_df, degrees, path, config.unfold.max_fanout, where)
    for where, rule in queries:
        check_query(triples_df, degrees, rule, config.unfold.max_fanout, where)


def starts_from_many(rows_df: DataFrame, rule: Rule) -> bool:
    """Whether a path rule starts from each of several values of a row: an array, or text with a separator."""
    if rule.kind not in ("path", "sparql"):
        return False
    return rule.separator is not None or isinstance(type_of(rows_df, rule.column or ""), T.ArrayType)


def start_values(rows_df: DataFrame, rule: Rule) -> Column:
    """The values a path rule starts from, as an array."""
    column = F.col(quoted(rule.column or ""))
    if isinstance(type_of(rows_df, rule.column or ""), T.ArrayType):
        values = column.cast("array<string>")
    else:
        values = split_text(column, rule.separator or "")
    return F.transform(values, F.trim)


def with_paths(rows_df: DataFrame, rules: list[Rule], triples_df: DataFrame | None) -> DataFrame:
    """Adds `path_column(rule)` for each path rule: array of (value, weight)."""
    for rule in rules:
        if rule.kind in ("path", "sparql"):
            assert triples_df is not None  # check_paths has seen to it
            reached_df = _reached(triples_df, rule).withColumnRenamed("start", f"_start_{rule.name}")
            column = rule.column or ""
            start = as_text(F.col(quoted(column)), type_of(rows_df, column))
            rows_df = rows_df.join(reached_df, start == F.col(f"_start_{rule.name}"), "left")
            rows_df = rows_df.drop(f"_start_{rule.name}")
    return rows_df


def _reached(triples_df: DataFrame, rule: Rule) -> DataFrame:
    """start -> the values at the end of the path, as `path_column(rule)`: array of (value, weight)."""
    if rule.kind == "sparql":
        paths_df = found(triples_df, rule)
    else:
        paths_df = reached(triples_df, parse_path(rule.path or ""), rule.path_weight)
    pairs = F.sort_array(F.collect_list(F.struct("value", "weight")))
    return paths_df.groupBy("start").agg(pairs.alias(path_column(rule)))
