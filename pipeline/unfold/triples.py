"""The triples that paths, queries and Horn rules go over: of knowledge bases, graphs and facts."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.facts import Facts
from pipeline.config.sources import KnowledgeBase
from pipeline.exact import EXACT_FRACTION
from pipeline.sources import CORRUPT, check_columns, quoted, read_table
from pipeline.sources.columns import as_text, type_of
from pipeline.sources.facts import TRUE, check_facts, good_facts, read_facts
from pipeline.sources.marks import DEFECT, RAW
from pipeline.unfold.graph_triples import attribute_triples, edge_triples
from pipeline.unfold.horn import derived

_TRIPLE = ("head", "relation", "tail")
Parts = tuple[DataFrame, DataFrame]
"""Triples, and bad rows: source, reason, row (as JSON)."""


def read_triples(config: Config) -> Parts:
    """The triples (head, relation, tail: strings, each once; with graphs also weight double) of the knowledge base,
    graphs and facts, and what is derived of them; and the bad rows. Raises UserError."""
    once = [_read(config, table) for table in config.knowledge_base]
    once += [_read_facts(config, facts) for facts in config.facts]
    once += [attribute_triples(config, graph, nodes) for graph in config.graphs for nodes in graph.nodes]
    added = [part for graph in config.graphs for part in edge_triples(config, graph)]
    triples_df = reduce(DataFrame.unionByName, (good_df for good_df, _ in once)).distinct()
    if added:
        weighed_df = reduce(DataFrame.unionByName, (good_df for good_df, _ in added))
        both_df = triples_df.withColumn("weight", F.lit(1.0)).unionByName(weighed_df)
        weight = F.sum(F.col("weight").cast(EXACT_FRACTION)).cast("double")  # in any order the same to the bit
        triples_df = both_df.groupBy(*_TRIPLE).agg(weight.alias("weight"))
    if config.derive.rules:
        declared = set().union(*(graph.declared() for graph in config.graphs))
        more_df = derived(triples_df, config.derive, config.unfold.max_fanout, declared)
        more_df = more_df.withColumn("weight", F.lit(1.0)) if added else more_df
        triples_df = triples_df.unionByName(more_df)
    return triples_df, reduce(DataFrame.unionByName, (bad_df for _, bad_df in [*once, *added]))


def _read(config: Config, table: KnowledgeBase) -> Parts:
    table_df = read_table(config, table)
    columns = {"head": table.head, "relation": table.relation, "tail": table.tail}
    if table.constant is not None:
        del columns["relation"]
    check_columns(table_df, {column: name for name, column in columns.items()}, "knowledge_base")
    texts = {name: as_text(F.col(quoted(column)), type_of(table_df, column)) for name, column in columns.items()}
    wrong = {f"{name} is missing": text.isNull() for name, text in texts.items()}
    if table.format in ("csv", "json"):
        wrong |= {f"{name} is not UTF-8": _is_broken(text) for name, text in texts.items()}
    if table.constant is not None:
        texts["relation"] = F.lit(table.constant)
    if CORRUPT in table_df.columns:
        wrong = {f"malformed {table.format} record": F.col(CORRUPT).isNotNull()} | wrong
    reason = F.coalesce(*(F.when(condition, text) for text, condition in wrong.items()))
    triples_df = table_df.where(reason.isNull()).select(*(text.alias(name) for name, text in texts.items()))
    row = F.to_json(F.struct("*"))
    bad_df = table_df.select(F.lit("knowledge_base").alias("source"), reason.alias("reason"), row.alias("row"))
    return triples_df, bad_df.where(F.col("reason").isNotNull())


def _is_broken(text: Column) -> Column:
    """Whether bytes of a text were no UTF-8: Spark's readers put U+FFFD in their place, or leave them."""
    return text.contains("\ufffd") | ~F.is_valid_utf8(text)


def _read_facts(config: Config, facts: Facts) -> Parts:
    facts_df = read_facts(config, facts)
    check_facts(facts_df, facts)
    triples_df = good_facts(facts_df).select(
        F.col("first").alias("head"),
        F.col("predicate").alias("relation"),
        F.coalesce("second", F.lit(TRUE)).alias("tail"),
    )
    bad_df = facts_df.where(F.col(DEFECT).isNotNull())
    return triples_df, bad_df.select(
        F.lit(facts.name).alias("source"), F.col(DEFECT).alias("reason"), F.col(RAW).alias("row")
    )
