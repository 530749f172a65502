"""Ten simulated days, unfolded one by one: one comes late, one runs twice, two are killed. Then everything at once.

python -m tests.pipeline.daily.check [--entities 300]

The vectors and the vocabulary of the last day have to be, byte for byte, those of all days unfolded at once in another
folder, and (but for decaying weights, which are rounded day by day) those of the ordinary stage.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from pipeline import daily, simulate, summary, unfold
from pipeline.config import Config, load_config
from pipeline.faults import VARIABLE
from pipeline.layout import Layout
from pipeline.session import get_session
from tests.conftest import REPOSITORY
from tests.pipeline.daily.helpers import bytes_of

FIRST, DAYS = date(2026, 2, 19), 10
SOURCES = {"content": "event_time", "finance": "booked_at"}
LATE, LATE_COMES, TWICE = 3, 7, 4
KILLED = {5: "daily:before-day", 8: "daily:after-day"}
MORE_RULES = [
    {"name": "latest", "kind": "field", "column": "item_id", "aggregate": "last", "windows": ["3d", "7d"]},
    {"name": "pages", "kind": "field", "column": "item_id", "aggregate": "distinct", "windows": ["3d"]},
    {"name": "dwelt", "kind": "field", "column": "item_id", "weight": "dwell_seconds", "windows": ["7d"]},
    {"name": "longest", "kind": "field", "column": "item_id", "weight": "dwell_seconds", "aggregate": "max"},
    {"name": "decayed", "kind": "field", "column": "item_id", "aggregate": "decay", "half_life": 3},
    {"name": "since", "kind": "recency"},
    {"name": "hour", "kind": "time", "part": "hour"},
]
"""Of source content, beside those of conf/sources/simulated.yaml: every aggregate, windows, recency."""
QUICK = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
QUICK |= {"spark.sql.adaptive.enabled": "false"}
"""Of so few rows: to compile a plan takes longer than to run it."""
Print = Callable[[str], object]


def write_config(folder: Path, entities: int, events: Path) -> Path:
    """The configuration file: the simulated sources, read from `events`."""
    text = (REPOSITORY / "conf" / "sources" / "simulated.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text.replace("{workdir}/events", str(events)))
    content["sources"] = [one for one in content["sources"] if one["name"] in (*SOURCES, "profile")]
    content["sources"][0]["rules"] += MORE_RULES
    last = FIRST + timedelta(days=DAYS)
    del content["label_tables"]
    content |= {
        "simulate": {"entities": entities, "seed": 1, "events_per_entity": 100},
        "spark": {"shuffle_partitions": 1, "driver_memory": "1g", "settings": QUICK},
        "unfold": {"start": FIRST.isoformat(), "cutoff": last.isoformat(), "vocabulary": {"min_entities": 2}},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def deliver(simulated: Path, events: Path, day: date, parts: Sequence[int], name: str) -> None:
    """Files of the events of a day: those whose number modulo 3 is in `parts`."""
    for source, column in SOURCES.items():
        table = pq.read_table(simulated / source)
        found = table.filter(pc.equal(_days(table[column]), pa.scalar(day)))
        number = pa.array([n % 3 in parts for n in range(found.num_rows)])
        (events / source).mkdir(parents=True, exist_ok=True)
        pq.write_table(found.filter(number), events / source / f"{name}.parquet")


def _days(times: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_integer(times.type):
        in_milliseconds = pc.max(times).as_py() > 10**11
        times = times.cast(pa.int64()).cast(pa.timestamp("ms" if in_milliseconds else "s"))
    return times.cast(pa.timestamp("us")).cast(pa.date32(), safe=False)


def run_days(path: Path, workdir: Path, print_: Print) -> Config:
    """Day after day, as a platform would; the configuration of the last."""
    simulated, events = workdir.parent / "simulated" / "events", workdir.parent / "events"
    for name in ("profile", "knowledge_base"):
        events.mkdir(exist_ok=True)
        (events / name).symlink_to(simulated / name)
    print_(f"{'day':12}{'what happened':34}{'unfolded':>9}{'late':>6}{'entities':>10}{'concepts':>10}{'seconds':>9}")
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        deliver(simulated, events, day, (0, 1) if number == LATE else (0, 1, 2), day.isoformat())
        happened = []
        if number == LATE:
            happened.append("a third of its events is missing")
        if number == LATE_COMES:
            late = FIRST + timedelta(days=LATE)
            deliver(simulated, events, late, (2,), f"{late}-late")
            happened.append(f"the rest of {late} comes")
        config = configured(path, workdir, day + timedelta(days=1))
        if number in KILLED:
            point = f"{KILLED[number]}:{day}"
            kill(path, workdir, day, point)
            happened.append(f"killed at {KILLED[number]}")
        started = time.monotonic()
        for _ in range(2 if number == TWICE else 1):
            daily.run(config, day.isoformat(), day.isoformat())
        happened += ["runs twice"] if number == TWICE else []
        seconds = time.monotonic() - started
        facts, vectors = (summary.read(Layout.of(config), name) for name in ("daily", "unfold"))
        counts = f"{len(facts['days']):9}{len(facts['late']):6}{vectors['entities']:10}{vectors['vocabulary_size']:10}"
        print_(f"{day!s:12}{', '.join(happened):34}{counts}{seconds:9.1f}")
    return config


def configured(path: Path, workdir: Path, cutoff: date) -> Config:
    return load_config([path], [f"run.workdir={workdir}", f"unfold.cutoff={cutoff}"])


def kill(path: Path, workdir: Path, day: date, point: str) -> None:
    """The job in a process of its own, which ends itself by SIGKILL at a point."""
    options = ["--set", f"run.workdir={workdir}", "--set", f"unfold.cutoff={day + timedelta(days=1)}"]
    command = [sys.executable, "-m", "jobs.daily", "--config", str(path), *options]
    environment = {**os.environ, VARIABLE: point, "PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run(
        [*command, "--from", str(day), "--to", str(day)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != -9:
        raise RuntimeError(f"{point} was not reached: {ended.stderr[-2000:]}")


def check(entities: int, print_: Print) -> bool:
    """Whether everything is as it should be."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_config(folder, entities, folder / "events")
        last = FIRST + timedelta(days=DAYS)
        simulate.run(configured(path, folder / "simulated", last))
        by_day = run_days(path, folder / "days", print_)
        at_once, backwards, whole = (
            configured(path, folder / name, last) for name in ("at_once", "backwards", "whole")
        )
        for number in reversed(range(DAYS)):
            day = (FIRST + timedelta(days=number)).isoformat()
            daily.run(backwards, day, day, vectors=number == 0)
        started = time.monotonic()
        daily.run(at_once)
        print_(f"all {DAYS} days at once: {time.monotonic() - started:.1f} s")
        started = time.monotonic()
        unfold.run(whole)
        print_(f"the ordinary stage: {time.monotonic() - started:.1f} s")
        spark = get_session(by_day)
        good = True
        for other, leave_out, what in (
            (at_once, "none", "all days unfolded at once"),
            (backwards, "none", "the days from the last to the first"),
            (whole, "decayed", "the ordinary stage, but for decaying weights"),
        ):
            ours, theirs = ("\n".join(bytes_of(one, spark, leave_out)).encode() for one in (by_day, other))
            same = ours == theirs
            good &= same
            digest = hashlib.sha256(ours).hexdigest()[:12]
            print_(f"{'equal' if same else 'NOT EQUAL'}, {len(ours):,} bytes, sha256 {digest}: day by day and {what}")
        return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=300)
    options = parser.parse_args()
    logging.basicConfig(level="ERROR", stream=sys.stderr)
    good = check(options.entities, lambda line: print(line, flush=True))  # noqa: T201
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
