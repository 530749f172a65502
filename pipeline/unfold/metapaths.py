"""Meta-paths walked: from every value, hop by hop, to what it reaches; and how many paths go through a node."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.config.paths import Alternative, Hop, Path, Repeat, Sequence
from pipeline.exact import EXACT_FRACTION


def reached(triples_df: DataFrame, path: Path, path_weight: str) -> DataFrame:
    """start, value, weight double: each value at the end of a path once, weighed as `Rule.path_weight` says.

    triples_df: head, relation, tail and perhaps weight: a path then weighs the product of its edges. The hops are joins
    of (start, value) pairs, which grow with the pairs reached, not with the number of paths.
    """
    reached_df = _extend(triples_df, None, path, path_weight == "degree")
    if path_weight == "binary":
        return reached_df.select("start", "value", F.lit(1.0).alias("weight"))
    return reached_df


def loads(triples_df: DataFrame, path: Path) -> DataFrame:
    """node, hop string, load double: the paths through a node by a hop, those that arrive times the edges that leave,
    where more than one leaves. Costs one pass over the triples a hop, however many paths there are."""
    found: list[DataFrame] = []
    _arrivals(triples_df, None, path, found)
    return reduce(DataFrame.unionByName, found)


def edges(triples_df: DataFrame, hops: tuple[Hop, ...], degree: bool) -> DataFrame:
    """from, to, share double of any of the hops; share: the edge's weight (1), by degree divided by the weight of the
    edges of its relation from there."""
    parts = []
    for hop in hops:
        ends = ("tail", "head") if hop.inverse else ("head", "tail")
        part_df = triples_df.where(F.col("relation") == hop.relation)
        weight = F.col("weight") if is_weighted(triples_df) else F.lit(1.0)
        ways = (F.col(ends[0]).alias("from"), F.col(ends[1]).alias("to"), F.lit(str(hop)).alias("hop"))
        parts.append(part_df.select(*ways, weight.alias("share")))
    edges_df = reduce(DataFrame.unionByName, parts)
    if degree:
        leaving = F.sum(F.col("share").cast(EXACT_FRACTION)).over(Window.partitionBy("from", "hop")).cast("double")
        edges_df = edges_df.withColumn("share", F.col("share") / leaving)
    return edges_df.drop("hop")


def is_weighted(triples_df: DataFrame) -> bool:
    return "weight" in triples_df.columns


def hops_at_once(path: Path) -> tuple[Hop, ...] | None:
    """The hops of a path that is one edge: a hop, or alternatives of hops."""
    if isinstance(path, Hop):
        return (path,)
    if isinstance(path, Alternative) and all(isinstance(choice, Hop) for choice in path.choices):
        return tuple(choice for choice in path.choices if isinstance(choice, Hop))
    return None


def _extend(triples_df: DataFrame, paths_df: DataFrame | None, path: Path, degree: bool) -> DataFrame:
    """The pairs that paths of `paths_df` (None: of no hop yet) reach when `path` goes on from their ends."""
    exact = degree or is_weighted(triples_df)
    hops = hops_at_once(path)
    if hops is not None:
        edges_df = edges(triples_df, hops, degree)
        if paths_df is None:
            return _merged(edges_df.toDF("start", "value", "weight"), exact)
        joined_df = paths_df.join(edges_df, F.col("value") == F.col("from"))
        return _merged(
            joined_df.select("start", F.col("to").alias("value"), (F.col("weight") * F.col("share")).alias("weight")),
            exact,
        )
    match path:
        case Sequence():
            for step in path.steps:
                paths_df = _extend(triples_df, paths_df, step, degree)
            assert paths_df is not None
            return paths_df
        case Alternative():
            parts = [_extend(triples_df, paths_df, choice, degree) for choice in path.choices]
        case Repeat():
            parts = []
            for times in range(1, path.most + 1):
                paths_df = _extend(triples_df, paths_df, path.step, degree)
                parts += [paths_df] if times >= path.least else []
        case _:
            raise TypeError(path)
    return _merged(reduce(DataFrame.unionByName, parts), exact) if len(parts) > 1 else parts[0]


def _merged(paths_df: DataFrame, exact: bool) -> DataFrame:
    weight = F.sum(F.col("weight").cast(EXACT_FRACTION)).cast("double") if exact else F.sum("weight")
    return paths_df.groupBy("start", "value").agg(weight.alias("weight"))


def _arrivals(triples_df: DataFrame, before_df: DataFrame | None, path: Path, found: list[DataFrame]) -> DataFrame:
    """node, paths double: how many paths arrive, over all starts; each hop's loads are added to `found`."""
    hops = hops_at_once(path)
    if hops is not None:
        edges_df = edges(triples_df, hops, degree=False)
        if before_df is None:
            before_df = edges_df.select(F.col("from").alias("node"), F.lit(1.0).alias("paths")).distinct()
        name = F.lit("|".join(str(hop) for hop in hops)).alias("hop")
        leaving_df = edges_df.groupBy("from").agg(F.count("*").alias("leaving")).where("leaving > 1")
        loads_df = before_df.join(leaving_df, F.col("node") == F.col("from"))
        found.append(loads_df.select("node", name, (F.col("paths") * F.col("leaving")).alias("load")))
        joined_df = before_df.join(edges_df, F.col("node") == F.col("from"))
        return joined_df.groupBy(F.col("to").alias("node")).agg(F.sum("paths").alias("paths"))
    match path:
        case Sequence():
            for step in path.steps:
                before_df = _arrivals(triples_df, before_df, step, found)
            assert before_df is not None
            return before_df
        case Alternative():
            parts = [_arrivals(triples_df, before_df, choice, found) for choice in path.choices]
        case Repeat():
            parts = []
            for times in range(1, path.most + 1):
                before_df = _arrivals(triples_df, before_df, path.step, found)
                parts += [before_df] if times >= path.least else []
        case _:
            raise TypeError(path)
    return reduce(DataFrame.unionByName, parts).groupBy("node").agg(F.sum("paths").alias("paths"))
