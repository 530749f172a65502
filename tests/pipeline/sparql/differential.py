"""Generated queries over the graph of MovieLens-100K: our bags against rdflib's.

python -m tests.pipeline.sparql.differential --queries 5000
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import islice
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rdflib.plugins.sparql import prepareQuery

from pipeline.config import load_config
from pipeline.session import get_session
from pipeline.sparql.algebra import Query
from pipeline.sparql.parse import query_of
from pipeline.sparql.plan import solutions
from tests.pipeline.sparql.generate import (
    FEATURES,
    Queries,
    Triple,
    answers,
    around,
    features_of,
    graph_of,
    read_ml100k,
)

logger = logging.getLogger(__name__)
Bag = Counter[tuple[str | None, ...]]
_BATCH = 25  # queries in one Spark job of one task
_ROUND = 100  # queries over one part of the graph


@dataclass(slots=True)
class Found:
    """queries and answered (those with any answers): how many, in all and by feature; wrong: those that are answered
    differently."""

    queries: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        self.queries += other.queries
        self.answered += other.answered
        self.wrong += other.wrong


@contextmanager
def interpreted(spark: SparkSession) -> Iterator[None]:
    """Spark without generated code: to compile a plan takes longer than to run it on a few rows."""
    names = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    # One partition and no broadcast: a query is a part of a task.
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


def bags(spark: SparkSession, triples: Sequence[Triple], queries: Sequence[Query]) -> list[Bag]:
    """Our answers to all queries, many in one job."""
    columns = dict(zip(("head", "relation", "tail"), map(pa.array, zip(*triples, strict=True)), strict=True))
    triples_df = spark.createDataFrame(pa.table(columns)).coalesce(1).cache()
    found: dict[int, Bag] = defaultdict(Counter)
    for start in range(0, len(queries), _BATCH):
        parts = []
        for place in range(start, min(start + _BATCH, len(queries))):
            bag_df = solutions(queries[place], triples_df, {}, None, "test")
            values = F.array(*(name for name in bag_df.columns if name != "n"))
            parts.append(bag_df.select(F.lit(place).alias("place"), values.alias("values"), "n"))
        # One task: each would bring along the plans of all queries.
        for row in reduce(DataFrame.union, parts).coalesce(1).collect():
            assert tuple(row["values"]) not in found[row["place"]], queries[row["place"]]
            if any(value is not None for value in row["values"]):
                found[row["place"]][tuple(row["values"])] = row["n"]
    triples_df.unpersist()
    return [found[place] for place in range(len(queries))]


def compare(spark: SparkSession, triples: list[Triple], count: int, seed: int, small: bool) -> Found:
    texts = list(islice(Queries(triples, seed, small), count))
    graph = graph_of(triples)
    prepared = [prepareQuery(text) for text in texts]  # once for both: it takes longer than to answer
    expected = [answers(graph, query) for query in prepared]
    with interpreted(spark):
        ours = bags(spark, triples, [query_of(query, text) for query, text in zip(prepared, texts, strict=True)])
    found = Found()
    for text, one, other in zip(texts, expected, ours, strict=True):
        names = ["all", *features_of(text)]
        found.queries.update(names)
        found.answered.update(names if one else [])
        found.wrong += [text] if one != other else []
    return found


def _round(folder: Path, movies: int, count: int, seed: int) -> Found:
    """In a process of its own, which keeps its session. Every other round has small queries."""
    settings = "spark.settings={spark.buffer.pageSize: 256k}"
    config = load_config([], ["spark.master=local[1]", "spark.tables=parquet", "run.name=sparql", settings])
    return compare(get_session(config), around(read_ml100k(folder), movies, seed), count, seed, small=seed % 2 == 1)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser()
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--movies", type=int, default=6, help="so many of the graph's movies a round")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first round")
    parser.add_argument("--processes", type=int, default=min(4, os.cpu_count() or 1))
    options = parser.parse_args()
    folder = Path(os.environ.get("DATA") or "data") / "ml-100k"
    if not folder.is_dir():
        logger.error("no real data: set DATA= or put it in data/ (see README)")
        return 2
    found, started = Found(), time.monotonic()
    seeds = range(options.first, options.first + -(-options.queries // _ROUND))
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for one in pool.imap_unordered(partial(_round, folder, options.movies, _ROUND), seeds):
            found.add(one)
            counts = (found.queries["all"], found.answered["all"], len(found.wrong), time.monotonic() - started)
            logger.info("%d queries, %d with answers, %d different, %.0f s", *counts)
    for name in ("all", *FEATURES):
        logger.info("%-30s %6d queries, %6d with answers", name, found.queries[name], found.answered[name])
    for query in found.wrong:
        logger.error("different: %s", query)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
