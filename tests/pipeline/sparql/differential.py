"""Generated queries over the graph of MovieLens-100K: our bags against rdflib's.

python -m tests.pipeline.sparql.differential --queries 5000
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from itertools import islice
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.config import load_config
from pipeline.session import get_session
from pipeline.sparql.parse import parse_query
from pipeline.sparql.plan import solutions
from pipeline.unfold.hubs import degrees_of
from tests.pipeline.sparql.generate import Queries, Triple, answers, around, graph_of, read_ml100k

logger = logging.getLogger(__name__)
Bag = Counter[tuple[str | None, ...]]
_BATCH = 25  # queries in one Spark job


@contextmanager
def interpreted(spark: SparkSession) -> Iterator[None]:
    """Spark without generated code: to compile a plan takes longer than to run it on a few rows."""
    names = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    # One partition and no broadcast: a batch of queries is as many tasks.
    names |= {"spark.sql.autoBroadcastJoinThreshold": "-1"}
    names |= {"spark.sql.adaptive.enabled": "false", "spark.sql.shuffle.partitions": "1"}
    before = {name: str(spark.conf.get(name)) for name in names}
    for name, value in names.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def bags(spark: SparkSession, triples: Sequence[Triple], queries: Sequence[str]) -> list[Bag]:
    """Our answers to all queries, many in one job."""
    triples_df = spark.createDataFrame(list(triples), "head string, relation string, tail string").coalesce(1).cache()
    degrees = degrees_of(triples_df)
    found: dict[int, Bag] = defaultdict(Counter)
    for start in range(0, len(queries), _BATCH):
        parts = []
        for place in range(start, min(start + _BATCH, len(queries))):
            query = parse_query(queries[place], "test")
            bag_df = solutions(query, triples_df, degrees, 10**9, "test")
            values = F.array(*(name for name in bag_df.columns if name != "n"))
            parts.append(bag_df.select(F.lit(place).alias("place"), values.alias("values"), "n"))
        for row in reduce(DataFrame.unionByName, parts).collect():
            assert tuple(row["values"]) not in found[row["place"]], queries[row["place"]]
            if any(value is not None for value in row["values"]):
                found[row["place"]][tuple(row["values"])] = row["n"]
    triples_df.unpersist()
    return [found[place] for place in range(len(queries))]


def compare(spark: SparkSession, triples: list[Triple], count: int, seed: int) -> tuple[list[str], int]:
    """The queries that are answered differently, and how many have any answers."""
    queries = list(islice(Queries(triples, seed), count))
    graph = graph_of(triples)
    expected = [answers(graph, query) for query in queries]
    found = bags(spark, triples, queries)
    wrong = [query for query, one, other in zip(queries, expected, found, strict=True) if one != other]
    return wrong, sum(bool(bag) for bag in expected)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser()
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--movies", type=int, default=12, help="so many of the graph's movies a round")
    options = parser.parse_args()
    folder = Path(os.environ.get("DATA") or "data") / "ml-100k"
    if not folder.is_dir():
        logger.error("no real data: set DATA= or put it in data/ (see README)")
        return 2
    triples = read_ml100k(folder)
    spark = get_session(load_config([], ["spark.master=local[2]", "spark.tables=parquet", "run.name=sparql"]))
    done, answered, wrong, started = 0, 0, [], time.monotonic()
    with interpreted(spark):
        while done < options.queries:
            count = min(250, options.queries - done)
            differing, some = compare(spark, around(triples, options.movies, seed=done), count, seed=done)
            done, answered, wrong = done + count, answered + some, wrong + differing
            seconds = time.monotonic() - started
            logger.info("%d queries, %d with answers, %d different, %.0f s", done, answered, len(wrong), seconds)
    for query in wrong:
        logger.error("different: %s", query)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
