"""What one more day costs after 2, 10 and 30 days of history, side by side: `make bench-daily`.

    python -m benchmarks.daily [--events 20000] [--rounds 3]

Every day comes as one Parquet file of its own. `add a day`: files looked at, the day unfolded, no vectors.
`add a day, vectors of 7 days`: the window is put together besides. `everything anew`: the ordinary stage on the whole
history, for comparison.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipeline import daily, unfold
from pipeline.config import Config, load_config

FIRST = date(2026, 1, 1)
HISTORY = (2, 10, 30)
RULES = [
    {"name": "item", "kind": "field", "column": "item", "windows": ["7d"]},
    {"name": "device", "kind": "field", "column": "device", "windows": ["7d"]},
    {"name": "price", "kind": "number", "column": "price", "windows": ["7d"]},
    {"name": "spent", "kind": "field", "column": "device", "weight": "price", "windows": ["7d"]},
    {"name": "latest", "kind": "field", "column": "item", "aggregate": "last", "windows": ["7d"]},
]


def write_day(folder: Path, number: int, events: int) -> None:
    """A file of the events of a day."""
    draw = np.random.default_rng(number)
    begin = np.datetime64(FIRST + timedelta(days=number), "us")
    table = pa.table(
        {
            "user": [f"u{n}" for n in draw.integers(events // 4, size=events)],
            "at": begin + draw.integers(86_400_000_000, size=events).astype("timedelta64[us]"),
            "item": [f"item{n}" for n in (draw.random(events) ** 2.5 * 2000).astype(int)],
            "device": draw.choice(["ios", "android", "web", "tv"], size=events),
            "price": np.round(np.exp(draw.random(events) * 8), 2),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{number:03}.parquet")


def configured(folder: Path, workdir: str, cutoff: int) -> Config:
    source = {"name": "s", "path": str(folder / "events"), "entity": "user", "rules": RULES}
    source |= {"time": "at", "timezone": "UTC"}
    content = {
        "run": {"workdir": str(folder / workdir)},
        "sources": [source],
        "unfold": {"cutoff": (FIRST + timedelta(days=cutoff)).isoformat()},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_config([path])


def seconds(run: Callable[[], None]) -> float:
    started = time.monotonic()
    run()
    return time.monotonic() - started


def measure(folder: Path, events: int, rounds: int) -> list[tuple[int, float, float, float]]:
    """history, and the median seconds to add a day, to add it with vectors, and to unfold everything anew."""
    found, written = [], 0
    for history in HISTORY:
        while written < history:
            write_day(folder / "events", written, events)
            written += 1
        daily.run(configured(folder, "days", written), vectors=False)
        daily.run(configured(folder, "days", written))  # warms Spark up
        times: dict[str, list[float]] = {"day": [], "vectors": [], "anew": []}
        for _ in range(rounds):
            for name in ("day", "vectors"):
                write_day(folder / "events", written, events)
                day = (FIRST + timedelta(days=written)).isoformat()
                written += 1
                config = configured(folder, "days", written)
                vectors = name == "vectors"
                times[name].append(seconds(lambda c=config, d=day, v=vectors: daily.run(c, d, d, v)))  # type: ignore[misc]
            whole = configured(folder, "whole", written)
            times["anew"].append(seconds(lambda c=whole: unfold.run(c)))  # type: ignore[misc]
        found.append((history, *(statistics.median(times[name]) for name in ("day", "vectors", "anew"))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="a day")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.basicConfig(level="ERROR", stream=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        rows = measure(Path(name), options.events, options.rounds)
    write = sys.stdout.write
    write(f"{options.events:,} events a day, medians of {options.rounds} rounds, seconds\n")
    write(f"{'days before':>12}{'add a day':>12}{'with vectors of 7 days':>25}{'everything anew':>18}\n")
    for history, day, vectors, anew in rows:
        write(f"{history:12}{day:12.1f}{vectors:25.1f}{anew:18.1f}\n")
    write(f"a day after {rows[-1][0]} days costs {rows[-1][1] / rows[0][1]:.2f} x a day after {rows[0][0]}\n")


if __name__ == "__main__":
    main()
