"""A vocabulary of millions of concepts, built and used with a driver of 1 GiB, and checked against DuckDB.

python -m tests.pipeline.unfold.vocabulary_check [--concepts 5000000] [--memory 1g]

Each stage is a process of its own. Its Spark runs in local mode, where the driver's JVM does the executors' work too,
so that the memory is the limit for both. Most concepts are carried by two entities, some by one (these are pruned), a
few thousand by many, one by positives only (it implies their label).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb
import psutil
import yaml

from tests.conftest import REPOSITORY

STAGES = ("unfold", "align", "train", "score")
COMMON, CONCEPTS_EACH, GLOB = 3000, 50, "events.page=t1999*"
"""How many concepts many carry; concepts that two carry by entity; what is masked by name."""
Print = Callable[[str], object]


def write_input(folder: Path, concepts: int) -> None:
    """The events, and the labels of two segments: every 7th and every 11th entity. Each 21st visits page implying."""
    entities = concepts // CONCEPTS_EACH
    duckdb.sql(f"""
        COPY (
            SELECT 'u' || user AS user, page, TIMESTAMPTZ '2026-02-01 00:00:00+00' AS at
            FROM (
                SELECT (i % {concepts} * 7 + i // {concepts} * {entities // 2 + 1}) % {entities} AS user,
                       't' || i % {concepts} AS page FROM range({2 * concepts}) r(i)
                UNION ALL SELECT i % {entities}, 'once' || i FROM range({concepts // 50}) r(i)
                UNION ALL SELECT i % {entities},
                       'common' || floor(pow(hash(i) % 1000003 / 1000003.0, 3) * {COMMON})::INT
                       FROM range({concepts // 5}) r(i)
                UNION ALL SELECT i * 21, 'implying' FROM range({entities // 21}) r(i))
        ) TO '{folder / "events.parquet"}' (FORMAT parquet)""")
    duckdb.sql(f"""
        COPY (SELECT 'u' || i AS entity_id, segment, 1 AS label FROM range({entities}) r(i),
              (VALUES ('sevens', 7), ('elevens', 11)) s(segment, n) WHERE i % n = 0)
        TO '{folder / "labels.parquet"}' (FORMAT parquet)""")


def write_config(folder: Path, memory: str) -> Path:
    label = {"table": "labels"}
    rule = {"name": "page", "kind": "field", "column": "page"}
    source = {"name": "events", "path": str(folder / "events.parquet"), "entity": "user", "time": "at", "rules": [rule]}
    sizes = {"embedding_dim": 8, "experts": 2, "expert_layers": 1, "expert_width": 16, "tower_hidden": 8}
    content = {
        "run": {"name": "vocabulary", "workdir": str(folder / "out")},
        "spark": {"driver_memory": memory},
        "sources": [source],
        "unfold": {"cutoff": "2026-03-01", "vocabulary": {"min_entities": 2}},
        "label_tables": [{"name": "labels", "path": str(folder / "labels.parquet")}],
        "segments": [
            {"name": "sevens", "label": label, "own": [GLOB]},
            {"name": "elevens", "label": label},
        ],
        "model": {"settings": sizes},
        "train": {"epochs": 1, "batch_size": 8192, "auxiliary": {"tasks": 64}},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def run_stage(stage: str, path: Path) -> tuple[float, Counter[str]]:
    """Seconds, and the most bytes resident of the JVM (java), of the stage's process (main) and of all of Spark's
    Python workers together (workers). Raises RuntimeError where the stage fails."""
    command = [sys.executable, "-m", f"jobs.{stage}", "--config", str(path)]
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=said, stderr=said)
        peak: Counter[str] = Counter()
        while process.poll() is None:
            peak |= _resident(psutil.Process(process.pid))
            time.sleep(1)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{stage} ended with {process.returncode}:\n{said.read().decode()[-4000:]}")
    return time.monotonic() - started, peak


def _resident(main: psutil.Process) -> Counter[str]:
    now: Counter[str] = Counter()
    try:
        now["main"] = main.memory_info().rss
        for process in main.children(recursive=True):
            now["java" if process.name() == "java" else "workers"] += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return now


def differences(folder: Path, concepts: int) -> dict[str, int]:
    """What the stages wrote against the same by DuckDB: how many rows differ, by what was compared."""
    entities, tables = concepts // CONCEPTS_EACH, folder / "out" / "tables"
    (shards,) = (folder / "out" / "shards").glob("*/vocabulary.parquet")
    connection = duckdb.connect(str(folder / "check.duckdb"))
    connection.sql(f"SET memory_limit = '3GB'; SET threads = {os.cpu_count()}; SET preserve_insertion_order = false")
    connection.sql(f"""
        CREATE TABLE pairs AS SELECT user AS entity_id, 'events.page=' || page AS concept, count(*) AS events
        FROM '{folder / "events.parquet"}' GROUP BY ALL""")
    connection.sql("""
        CREATE TABLE expected AS
        SELECT concept, entities, row_number() OVER (ORDER BY entities DESC, concept) - 1 AS concept_id
        FROM (SELECT concept, count(*) AS entities FROM pairs GROUP BY concept HAVING count(*) >= 2)""")
    connection.sql(f"""
        CREATE TABLE written AS SELECT entity_id, unnest(concept_ids) AS concept_id, unnest(concept_weights) AS weight
        FROM '{tables}/concept_vectors/*.parquet'""")

    def count(query: str) -> int:
        ((found,),) = connection.sql(f"SELECT count(*) FROM {query}").fetchall()
        return int(found)

    masked = f"(SELECT * FROM '{tables}/masks/*.parquet')"
    expected_masks = f"""(SELECT 'sevens' AS segment, concept, 'own' AS reason FROM expected
        WHERE concept LIKE '{GLOB.replace("*", "%")}' UNION ALL SELECT 'sevens', 'events.page=implying', 'implies')"""
    return {
        "concepts fewer than asked for": max(0, concepts - count("expected")),
        "vocabulary": count(f"""'{tables}/vocabulary/*.parquet' w FULL JOIN expected e USING (concept)
            WHERE w.concept_id IS DISTINCT FROM e.concept_id OR w.entities IS DISTINCT FROM e.entities"""),
        "vocabulary of the shards": count(f"""(SELECT *, row_number() OVER () - 1 AS place FROM '{shards}') w
            FULL JOIN expected e USING (concept)
            WHERE w.concept_id IS DISTINCT FROM e.concept_id OR place <> e.concept_id"""),
        "entries of vectors": count("""written w FULL JOIN (SELECT * FROM pairs JOIN expected USING (concept)) e
            USING (entity_id, concept_id) WHERE coalesce(abs(weight - ln(1 + events)) > 1e-6, true)"""),
        "vectors out of order": count(f"""'{tables}/concept_vectors/*.parquet'
            WHERE concept_ids <> list_sort(concept_ids)"""),
        "masks": count(f"""{masked} w FULL JOIN {expected_masks} e USING (segment, concept, reason)
            WHERE w.concept_id IS NULL OR e.concept IS NULL"""),
        "predictions": abs(2 * entities - count(f"""(SELECT DISTINCT entity_id, segment FROM
            '{tables}/predictions/*/*.parquet' WHERE score > 0 AND score < 1)""")),
    }  # fmt: skip


def check(concepts: int, memory: str, print_: Print) -> bool:
    """Whether everything is as it should be."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_input(folder, concepts)
        ((events,),) = duckdb.sql(f"SELECT count(*) FROM '{folder / 'events.parquet'}'").fetchall()
        print_(f"{events:,} events, JVM heap of driver and executors together: {memory}")
        path = write_config(folder, memory)
        print_(f"{'stage':10}{'seconds':>9}{'JVM':>10}{'Python':>10}{'workers':>10}  most GiB resident")
        for stage in STAGES:
            seconds, peak = run_stage(stage, path)
            of_parts = "".join(f"{peak[part] / 2**30:10.2f}" for part in ("java", "main", "workers"))
            print_(f"{stage:10}{seconds:9.1f}{of_parts}")
        found = differences(folder, concepts)
        for what, rows in found.items():
            print_(f"{rows:>10,} different: {what}")
        return not any(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concepts", type=int, default=5_000_000)
    parser.add_argument("--memory", default="1g")
    options = parser.parse_args()
    good = check(options.concepts, options.memory, lambda line: print(line, flush=True))  # noqa: T201
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
