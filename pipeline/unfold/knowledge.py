"""Meta-paths through the knowledge base: from a value, hop by hop, to the values it reaches."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.config import Config
from pipeline.config.data import KnowledgeBase, Rule
from pipeline.errors import UserError
from pipeline.sources import CORRUPT, check_columns, quoted, read_table
from pipeline.sources.columns import as_text, type_of
from pipeline.unfold.rules import path_column, split_text


def read_triples(config: Config) -> tuple[DataFrame, DataFrame]:
    """The triples (head, relation, tail: strings, each once) of all tables of the knowledge base, and the bad rows:
    source, reason, row (as JSON)."""
    parts = [_read(config, table) for table in config.knowledge_base]
    triples_df = reduce(DataFrame.unionByName, (good_df for good_df, _ in parts))
    return triples_df.distinct(), reduce(DataFrame.unionByName, (bad_df for _, bad_df in parts))


def _read(config: Config, table: KnowledgeBase) -> tuple[DataFrame, DataFrame]:
    table_df = read_table(config, table)
    columns = {"head": table.head, "relation": table.relation, "tail": table.tail}
    if table.constant is not None:
        del columns["relation"]
    check_columns(table_df, {column: name for name, column in columns.items()}, "knowledge_base")
    texts = {name: as_text(F.col(quoted(column)), type_of(table_df, column)) for name, column in columns.items()}
    wrong = {f"{name} is missing": text.isNull() for name, text in texts.items()}
    if table.constant is not None:
        texts["relation"] = F.lit(table.constant)
    if CORRUPT in table_df.columns:
        wrong = {f"malformed {table.format} record": F.col(CORRUPT).isNotNull()} | wrong
    reason = F.coalesce(*(F.when(condition, text) for text, condition in wrong.items()))
    triples_df = table_df.where(reason.isNull()).select(*(text.alias(name) for name, text in texts.items()))
    row = F.to_json(F.struct("*"))
    bad_df = table_df.select(F.lit("knowledge_base").alias("source"), reason.alias("reason"), row.alias("row"))
    return triples_df, bad_df.where(F.col("reason").isNotNull())


def hops_of(path: str) -> list[tuple[str, bool]]:
    """The hops of a path, as (relation, inverse)."""
    hops = [hop.strip() for hop in path.split("/")]
    return [(hop.removeprefix("^").strip(), hop.startswith("^")) for hop in hops]


def check_paths(config: Config, triples_df: DataFrame | None) -> None:
    """Raises UserError for a path rule without a knowledge base, or over a relation that is not in it."""
    wanted = {
        relation: f"source {source.name}, rule {rule.name}"
        for source in config.sources
        for rule in source.rules
        if rule.kind == "path"
        for relation, _ in hops_of(rule.path or "")
    }
    if not wanted:
        return
    if triples_df is None:
        raise UserError(f"{next(iter(wanted.values()))}: a path needs a knowledge_base, and none is declared")
    known = {row["relation"] for row in triples_df.select("relation").distinct().collect()}
    for relation, where in wanted.items():
        if relation not in known:
            raise UserError(
                f"{where}: no relation {relation!r} in the knowledge base; it has: {', '.join(sorted(known))}"
            )


def starts_from_many(rows_df: DataFrame, rule: Rule) -> bool:
    """Whether a path rule starts from each of several values of a row: an array, or text with a separator."""
    if rule.kind != "path":
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
    """Adds `path_column(rule)` for each path rule: array of (value, weight), weight the number of paths."""
    for rule in rules:
        if rule.kind == "path":
            assert triples_df is not None  # check_paths has seen to it
            reached_df = _reached(triples_df, rule).withColumnRenamed("start", f"_start_{rule.name}")
            column = rule.column or ""
            start = as_text(F.col(quoted(column)), type_of(rows_df, column))
            rows_df = rows_df.join(reached_df, start == F.col(f"_start_{rule.name}"), "left")
            rows_df = rows_df.drop(f"_start_{rule.name}")
    return rows_df


def _reached(triples_df: DataFrame, rule: Rule) -> DataFrame:
    """start -> the values at the end of the path, each with the number of paths to it."""
    paths_df: DataFrame | None = None
    for relation, inverse in hops_of(rule.path or ""):
        ends = ("tail", "head") if inverse else ("head", "tail")
        hop_df = triples_df.where(F.col("relation") == relation).select(
            F.col(ends[0]).alias("from"), F.col(ends[1]).alias("to")
        )
        if paths_df is None:
            paths_df = hop_df.select(
                F.col("from").alias("start"), F.col("to").alias("value"), F.lit(1.0).alias("weight")
            )
        else:
            joined_df = paths_df.join(hop_df, F.col("value") == F.col("from"))
            grouped = joined_df.groupBy("start", F.col("to").alias("value"))
            paths_df = grouped.agg(F.sum("weight").alias("weight"))
    assert paths_df is not None
    pairs = F.sort_array(F.collect_list(F.struct("value", "weight")))
    return paths_df.groupBy("start").agg(pairs.alias(path_column(rule)))
