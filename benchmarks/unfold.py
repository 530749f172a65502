"""Unfolding events, side by side: ours, MLlib's CountVectorizer pipeline, DuckDB.

    python -m benchmarks.unfold [--events 1000000 10000000] [--rounds 3 1] [--ways ours DuckDB] [--skew] [--stages]

All three read the same Parquet rows, turn six columns into the same concepts, drop those of fewer than 5 entities, and
write one sparse vector an entity to Parquet. Ours is the whole stage: it also checks every row, keeps bad ones apart,
counts a profile and writes the vocabulary. MLlib collects its vocabulary to the driver and leaves counts undamped.

With several sizes the growth exponent between the first and the last is given: ln(seconds' ratio) / ln(events' ratio).
--skew: ours at the first size where one entity, or one concept, has half of all events, beside the balanced case.
--stages: Spark's own metrics of our last round at each size.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks import spark_stages
from benchmarks.unfold_ways import SKEWS, Shape, configuration, duck, mllib, ours, write_events
from pipeline.session import get_session

WAYS = ("ours", "MLlib", "DuckDB")
Seconds = dict[str, list[float]]
"""Of each way in each round."""


def measure(ways: dict[str, Callable[[], Shape]], rounds: int, warm_up: bool) -> tuple[Seconds, dict[str, Shape]]:
    """Every round runs all ways, in turn. warm_up: after a round that does not count."""
    seconds: Seconds = {name: [] for name in ways}
    shapes: dict[str, Shape] = {}
    for round_number in range(0 if warm_up else 1, rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            shapes[name] = way()
            taken = time.perf_counter() - start
            sys.stderr.write(f"round {round_number} {name}: {taken:.1f} s\n")
            if round_number:
                seconds[name].append(taken)
    return seconds, shapes


def side_by_side(
    folder: Path, events: int, rounds: int, warm_up: bool, stages: bool, chosen: Sequence[str] = WAYS
) -> Seconds:
    """The chosen ways on the same rows, as a table; ours is always among them."""
    write_events(folder / "events", events)
    config = configuration(folder, str(folder / "events"))
    spark = get_session(config)
    before = [-1]

    def our_way() -> Shape:
        before[0] = spark_stages.last_stage(spark)
        shape = ours(config, spark)
        metrics.update(spark_stages.metrics_since(spark, before[0]))
        return shape

    metrics: dict[str, list[float]] = {}
    ways: dict[str, Callable[[], Shape]] = {
        "ours": our_way,
        "MLlib": lambda: mllib(str(folder / "events"), str(folder / "mllib"), spark),
        "DuckDB": lambda: duck(str(folder / "events"), str(folder / "duck.parquet")),
    }
    seconds, shapes = measure({name: ways[name] for name in WAYS if name in ("ours", *chosen)}, rounds, warm_up)
    if len(set(shapes.values())) != 1:
        raise AssertionError(f"the ways do not agree on entities, concepts and vocabulary: {shapes}")
    entities, weights, concepts = shapes["ours"]
    sys.stdout.write(
        f"\n{events:,} events, {entities:,} entities, {weights:,} weights, {concepts:,} concepts; "
        f"medians of {rounds} rounds; {os.cpu_count()} cores\n\n"
        "| way | seconds | its time / ours |\n|---|---:|---:|\n"
    )
    for name, of_way in seconds.items():
        ratio = statistics.median(other / mine for mine, other in zip(seconds["ours"], of_way, strict=True))
        sys.stdout.write(f"| {name} | {statistics.median(of_way):.1f} | {ratio:.2f} |\n")
    if stages:
        sys.stdout.write("\n" + spark_stages.table(metrics))
    return seconds


def skewed(folder: Path, events: int, rounds: int, spark: SparkSession) -> None:
    """Ours on even and on skewed events, in turn, as a table."""
    ways: dict[str, Callable[[], Shape]] = {}
    for skew in SKEWS:
        own = folder / (skew or "balanced")
        own.mkdir()
        write_events(own / "events", events, skew)
        config = configuration(own, str(own / "events"))
        ways[skew] = partial(ours, config, spark)
    seconds, _ = measure(ways, rounds, warm_up=True)
    sys.stdout.write(f"\n{events:,} events, ours\n\n| case | seconds | its time / balanced |\n|---|---:|---:|\n")
    for skew, of_case in seconds.items():
        ratio = statistics.median(mine / other for mine, other in zip(of_case, seconds[""], strict=True))
        sys.stdout.write(f"| {SKEWS[skew]} | {statistics.median(of_case):.1f} | {ratio:.2f} |\n")


def growth(sizes: Sequence[int], seconds: Sequence[Seconds]) -> None:
    """The exponent of time by events, of each way."""
    sys.stdout.write("\n| way | growth exponent |\n|---|---:|\n")
    for name in seconds[0]:
        times = [statistics.median(of_size[name]) for of_size in (seconds[0], seconds[-1])]
        exponent = math.log(times[1] / times[0]) / math.log(sizes[-1] / sizes[0])
        sys.stdout.write(f"| {name} | {exponent:.2f} |\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--rounds", type=int, nargs="+", default=[3], help="for each size; the last one for the rest")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="ours is always one")
    parser.add_argument("--skew", action="store_true", help="ours at the first size with skewed events too")
    parser.add_argument("--stages", action="store_true", help="Spark's own metrics of our last round")
    options = parser.parse_args()
    seconds = []
    with tempfile.TemporaryDirectory() as scratch:
        spark = get_session(configuration(Path(scratch), scratch))
        for place, events in enumerate(options.events):
            rounds = options.rounds[min(place, len(options.rounds) - 1)]
            folder = Path(scratch) / str(events)
            folder.mkdir()
            seconds.append(
                side_by_side(
                    folder,
                    events,
                    rounds,
                    warm_up=place == 0 and rounds > 1,
                    stages=options.stages,
                    chosen=options.ways,
                )
            )
            shutil.rmtree(folder)
        if options.skew:
            skewed(Path(scratch), options.events[0], options.rounds[0], spark)
        spark.stop()
    if len(seconds) > 1:
        growth(options.events, seconds)


if __name__ == "__main__":
    main()
