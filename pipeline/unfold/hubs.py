"""No hub makes a meta-path explode: paths through one node are counted before the path is walked."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.config.paths import Alternative, Hop, Path, Repeat, Sequence
from pipeline.errors import UserError
from pipeline.unfold.metapaths import hops_at_once, loads

Degrees = Mapping[str, tuple[int, int]]
"""Relation -> the most edges that leave a node by it, and that arrive at one."""


def degrees_of(triples_df: DataFrame) -> dict[str, tuple[int, int]]:
    """Of every relation of a knowledge base, in one job."""
    parts = []
    for end, name in (("head", "leave"), ("tail", "arrive")):
        counted_df = triples_df.groupBy("relation", end).count()
        parts.append(counted_df.groupBy("relation").agg(F.max("count").alias("most")).withColumn("end", F.lit(name)))
    most = {(row["relation"], row["end"]): row["most"] for row in parts[0].unionByName(parts[1]).collect()}
    return {relation: (most[relation, "leave"], most[relation, "arrive"]) for relation, _ in most}


def check_fanout(triples_df: DataFrame, degrees: Degrees, path: Path, limit: int, where: str) -> None:
    """Raises UserError where more than `limit` paths go through one node. Paths are counted, by one Spark job, only
    where the degrees of the relations leave it open whether there are as many."""
    if _Bound(degrees).of(path) <= limit:
        return
    row = loads(triples_df, path).orderBy(F.desc("load"), "node", "hop").first()
    if row is not None and row["load"] > limit:
        raise UserError(
            f"{where}: {row['load']:,.0f} paths would go through {row['node']!r} by {row['hop']}, more than "
            f"unfold.max_fanout = {limit:,}; leave this hub out of the knowledge base, take another path, or raise "
            "the limit"
        )


class _Bound:
    """At most so many paths go through any node, from the largest degrees alone."""

    def __init__(self, degrees: Degrees) -> None:
        self._degrees = degrees
        self._most = 1

    def of(self, path: Path) -> int:
        self._walk(path, 1)
        return self._most

    def _walk(self, path: Path, arriving: int) -> int:
        """The paths that arrive at any node after `path`, where `arriving` do before it."""
        hops = hops_at_once(path)
        if hops is not None:
            self._most = max(self._most, arriving * sum(self._degree(hop, leaving=True) for hop in hops))
            return arriving * sum(self._degree(hop, leaving=False) for hop in hops)
        match path:
            case Sequence():
                for step in path.steps:
                    arriving = self._walk(step, arriving)
                return arriving
            case Alternative():
                return sum(self._walk(choice, arriving) for choice in path.choices)
            case Repeat():
                total = 0
                for times in range(1, path.most + 1):
                    arriving = self._walk(path.step, arriving)
                    total += arriving if times >= path.least else 0
                return total
            case _:
                raise TypeError(path)

    def _degree(self, hop: Hop, leaving: bool) -> int:
        leave, arrive = self._degrees.get(hop.relation, (0, 0))
        return leave if leaving != hop.inverse else arrive
