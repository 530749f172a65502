"""A graph as triples: attributes as (node, type.attribute, value), edges as (node, type.relation, node), weighted."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.graphs import Edges, Graph, Nodes
from pipeline.errors import UserError
from pipeline.sources import bad_rows, good_rows
from pipeline.sources.graphs import FROM, RELATION, TO, edge_source, node_ids, node_source, read_edges, read_nodes
from pipeline.sources.marks import DEFECT, NAIVE
from pipeline.unfold.rules import has_values, value_of, values_of

Parts = tuple[DataFrame, DataFrame]


def attribute_triples(config: Config, graph: Graph, nodes: Nodes) -> Parts:
    """head, relation, tail of every value of the nodes' attributes; and the bad rows."""
    source = node_source(graph, nodes)
    marked_df = read_nodes(config, graph, nodes)
    rows_df = good_rows(marked_df)
    each = [
        F.struct(
            F.lit(f"{nodes.type}.{rule.name}").alias("relation"),
            (
                values_of(rows_df, source, rule)
                if has_values(rule)
                else F.array(value_of(rows_df, source, rule, config.unfold))
            ).alias("values"),
        )
        for rule in nodes.attributes
    ]
    empty = F.array().cast("array<struct<relation:string,values:array<string>>>")
    found_df = rows_df.select(F.col("_entity").alias("head"), F.inline(F.array(*each) if each else empty))
    valued_df = found_df.select("head", "relation", F.explode("values").alias("value"))
    triples_df = valued_df.select("head", "relation", F.trim("value").alias("tail")).where(F.col("tail") != "")
    return triples_df, bad_rows(marked_df, source)


def edge_triples(config: Config, graph: Graph) -> list[Parts]:
    """head, relation, tail, weight of every edge before the cutoff; and the bad rows, of each table of edges."""
    ids_df = node_ids(config, graph)
    return [_edges(config, graph, edges, ids_df) for edges in graph.edges]


def _edges(config: Config, graph: Graph, edges: Edges, ids_df: DataFrame) -> Parts:
    source = edge_source(graph, edges)
    marked_df = read_edges(config, graph, edges, ids_df)
    if edges.time is not None:
        if config.unfold.cutoff is None:
            raise UserError(f"graph {graph.name}: edges have a time, so unfold.cutoff is needed")
        if config.unfold.cutoffs:
            raise UserError(
                f"graph {graph.name}: edges have a time, and triples are those before one cutoff: with unfold.cutoffs "
                "an earlier example would see later edges; unfold one cutoff at a time, or leave out the edges' time"
            )
        naive = marked_df.where(F.col(DEFECT) == f"{edges.time} {NAIVE}").limit(1).count()
        if naive:
            raise UserError(f"graph {graph.name}: time {edges.time} of edges {NAIVE}; set timezone: UTC, or theirs")
    rows_df = good_rows(marked_df)
    if edges.time is not None:
        rows_df = rows_df.where(F.col("_time") < F.lit(config.unfold.cutoff).cast("timestamp"))
    begins = [F.when(F.col(RELATION) == name, F.lit(begin)) for name, (begin, _) in graph.relations.items()]
    weight = F.col(edges.weight).cast("double") if edges.weight is not None else F.lit(1.0)
    triples_df = rows_df.select(
        F.col(FROM).alias("head"),
        F.concat_ws(".", F.coalesce(*begins), RELATION).alias("relation"),
        F.col(TO).alias("tail"),
        weight.alias("weight"),
    )
    return triples_df.where(F.col("weight").isNotNull()), bad_rows(marked_df, source)
