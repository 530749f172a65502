"""Nodes and edges of a graph, checked: an edge has a declared relation, and its ends are nodes of the right types."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.forms import ROOT, NodeSource, TableSource
from pipeline.config.graphs import Edges, Graph, Nodes
from pipeline.config.rules import Rule
from pipeline.sources.columns import check_columns
from pipeline.sources.files import read_table
from pipeline.sources.marks import declared, good_rows, marked, text_column

_SAME = ("format", "path", "options", "rename", "types", "where")
FROM, RELATION, TO = "_from", "_relation", "_to"


def node_source(graph: Graph, nodes: Nodes) -> TableSource:
    """The table of nodes as a source, whose rules are the attributes."""
    name = f"{graph.name}.{nodes.type}"
    settings = {one: getattr(nodes, one) for one in _SAME}
    return TableSource.model_construct(**settings, name=name, entity=nodes.id, rules=nodes.attributes)


def edge_source(graph: Graph, edges: Edges) -> TableSource:
    """The table of edges as a source; a rule that is never asked for makes numbers of the weights."""
    settings = {one: getattr(edges, one) for one in (*_SAME, "time", "time_unit", "timezone")}
    rules = [] if edges.weight is None else [Rule(name="weight", kind="number", column=edges.weight)]
    return TableSource.model_construct(**settings, name=f"{graph.name}.edges", entity="", rules=rules)


def read_nodes(config: Config, graph: Graph, nodes: Nodes) -> DataFrame:
    """The rows as `read_marked` has those of a source; `_entity` is the node's id."""
    source = node_source(graph, nodes)
    what = f"graph {graph.name}, nodes {nodes.type}"
    rows_df = read_table(config, nodes)
    check_columns(rows_df, declared(source) | {nodes.id: "id"}, what)
    node = text_column(rows_df, nodes.id, f"{what}: id")
    return marked(rows_df, source, node, {f"{nodes.id} is missing": node.isNull()})


def node_ids(config: Config, graph: Graph) -> DataFrame:
    """type, node: each node once."""
    parts = [
        good_rows(read_nodes(config, graph, nodes)).select(
            F.lit(nodes.type).alias("type"), F.col("_entity").alias("node")
        )
        for nodes in graph.nodes
    ]
    return reduce(DataFrame.unionByName, parts).distinct()


def node_entities(config: Config, source: NodeSource) -> DataFrame:
    """`_root`: each node of the entities' type, once."""
    graph = next(one for one in config.graphs if one.name == source.graph)
    ids_df = node_ids(config, graph.model_copy(update={"nodes": [n for n in graph.nodes if n.type == graph.entity]}))
    return ids_df.select(F.col("node").alias(ROOT))


def read_edges(config: Config, graph: Graph, edges: Edges, ids_df: DataFrame) -> DataFrame:
    """The rows as `read_marked` has those of a source, with `_from`, `_relation` and `_to`; ids_df: type, node."""
    source = edge_source(graph, edges)
    what = f"graph {graph.name}, edges {edges.path}"
    rows_df = read_table(config, edges)
    ends = {edges.source: "source", edges.target: "target"}
    relation = {} if edges.constant else {edges.relation: "relation"}
    check_columns(rows_df, declared(source) | ends | relation, what)
    own = rows_df.columns
    name = F.lit(edges.constant) if edges.constant else text_column(rows_df, edges.relation, f"{what}: relation")
    columns = {
        FROM: text_column(rows_df, edges.source, f"{what}: source"),
        RELATION: name,
        TO: text_column(rows_df, edges.target, f"{what}: target"),
    }
    rows_df = rows_df.withColumns(columns)
    wrong = {
        f"{edges.source} is missing": F.col(FROM).isNull(),
        f"{edges.relation} is missing": F.col(RELATION).isNull(),
        f"{edges.target} is missing": F.col(TO).isNull(),
        f"{edges.relation} is no declared relation": ~F.col(RELATION).isin(list(graph.relations)),
    }
    for place, (end, column) in enumerate(((FROM, edges.source), (TO, edges.target))):
        kind, node, there = f"_kind_{place}", f"_node_{place}", f"_there_{place}"
        types = [F.when(F.col(RELATION) == one, F.lit(pair[place])) for one, pair in graph.relations.items()]
        there_df = ids_df.select(F.col("type").alias(there), F.col("node").alias(node))
        rows_df = rows_df.withColumn(kind, F.coalesce(*types, F.lit(None).cast("string")))
        rows_df = rows_df.join(there_df, (F.col(kind) == F.col(there)) & (F.col(end) == F.col(node)), "left")
        wrong[f"{column} is no node of the type that the relation {('leaves', 'arrives at')[place]}"] = F.col(
            there
        ).isNull()
    if edges.weight is not None:
        weight = F.col(edges.weight).try_cast("double")
        text = F.trim(F.col(edges.weight).cast("string"))
        wrong[f"{edges.weight} is missing"] = text.isNull() | (text == "")
        wrong[f"{edges.weight} is not above 0"] = weight.isNotNull() & ~(weight > 0)
    return marked(rows_df, source, F.lit(None).cast("string"), wrong, own)
