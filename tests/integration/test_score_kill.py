"""Killing the score stage at any point leaves a whole run readable; running it again gives one row a pair."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from pyspark.sql import SparkSession

from pipeline.config import Config, load_config
from pipeline.faults import VARIABLE
from pipeline.layout import Layout
from pipeline.modelfolder import load_model, write_model
from pipeline.score import run
from pipeline.tables import Tables
from tests.conftest import REPOSITORY, WITHOUT_GENERATED_CODE
from tests.integration.attached import killed_at
from tests.pipeline.score.world import SEGMENTS, build, vectors

ENTITIES = 40
KILLED = -signal.SIGKILL
BEFORE_THE_COMMIT = [
    "score:before-predictions",
    "score:in-task:1:0",  # in a Python worker of Spark; in a JVM of its own when another task has written its file
]
AFTER_THE_COMMIT = ["score:after-predictions", "score:after-reach", "score:before-summary"]


def start(path: Path, point: str = "", master: str = "local[1]") -> subprocess.Popen[str]:
    """The job in a process group of its own that is to end at a point."""
    environment = {**os.environ, VARIABLE: point, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "jobs.score", "--config", str(path), "--set", f"spark.master={master}"]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill_with_its_jvm(point: str, path: Path) -> None:
    process = start(path, point)
    _, errors = process.communicate()
    assert process.returncode != 0, f"{point} was not reached: {errors}"


def kill_while_it_writes(path: Path, partition: Path) -> None:
    """Kill the whole group, JVM and workers too, once a new data file stands in the partition."""
    before = set(partition.glob("*.parquet"))
    process = start(path)
    while process.poll() is None and set(partition.glob("*.parquet")) == before:
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def version_of_whole_run(spark: SparkSession, config: Config) -> str:
    """The model version of the run's rows, which are one for each entity and segment, all of one version."""
    rows_df = Tables(config, spark).read("predictions").where("run_id = 'daily'")
    rows = rows_df.select("entity_id", "segment", "model_version").collect()
    assert len(rows) == len({(row["entity_id"], row["segment"]) for row in rows}) == ENTITIES * len(SEGMENTS)
    versions = {row["model_version"] for row in rows}
    assert len(versions) == 1
    return versions.pop()


def another_model(config: Config) -> str:
    """Make a model of other weights current; its version."""
    loaded = load_model(Layout.of(config))
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.mul_(0.9)
    return write_model(Layout.of(config).model, loaded.model, loaded.spec).name


@pytest.fixture
def configured(tmp_path: Path) -> tuple[Config, Path]:
    sections = {
        "run": {"workdir": str(tmp_path / "work")},
        "spark": {"shuffle_partitions": 1, "settings": WITHOUT_GENERATED_CODE},
        "score": {"run_id": "daily", "run_date": "2026-03-01", "partitions": 2},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(sections), encoding="utf-8")
    return load_config([path]), path


@pytest.mark.slow
@pytest.mark.timeout(0)  # starts Spark twice, however long that takes
def test_killed_anywhere_a_whole_run_stands(quick: SparkSession, configured: tuple[Config, Path]) -> None:
    spark = quick
    config, path = configured
    build(spark, config, vectors(ENTITIES))
    # The very first run: no table to fall back on, and none half written.
    kill_with_its_jvm("score:in-task:1:0", path)
    run(config)
    good = version_of_whole_run(spark, config)

    better = another_model(config)
    for point in BEFORE_THE_COMMIT:
        status = killed_at(point, spark, "pipeline.score", path)
        assert status == KILLED or point.startswith("score:in-task")
        assert version_of_whole_run(spark, config) == good, point
    partition = Layout.of(config).tables / "predictions" / "run_date=2026-03-01"
    kill_while_it_writes(path, partition)
    assert version_of_whole_run(spark, config) in (good, better)
    for point in AFTER_THE_COMMIT:
        assert killed_at(point, spark, "pipeline.score", path) == KILLED
        assert version_of_whole_run(spark, config) == better, point

    run(config)
    assert version_of_whole_run(spark, config) == better
    reach = Tables(config, spark).read("reach").collect()
    assert sorted(row["segment"] for row in reach) == sorted(SEGMENTS)
    assert {row["scored"] for row in reach} == {ENTITIES}


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_task_that_is_tried_again_doubles_nothing(quick: SparkSession, configured: tuple[Config, Path]) -> None:
    config, path = configured
    build(quick, config, vectors(ENTITIES))
    process = start(path, "score:in-task:1:0", master="local[1,2]")  # two attempts a task; the first is killed
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "scored 40 entities" in errors
    version_of_whole_run(quick, config)
