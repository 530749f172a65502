"""The Spark session: what a configuration gets, and what it is told before a JVM starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline import session
from pipeline.errors import UserError
from pipeline.session import get_session


def test_there_is_one_in_a_process(spark: SparkSession, make_config) -> None:
    assert get_session(make_config("run.name=another")) is spark


def test_times_are_utc_and_bad_casts_are_null(spark: SparkSession) -> None:
    row = spark.sql("SELECT cast('2026-03-01 12:00:00' AS timestamp) AS at, cast('x' AS int) AS bad").first()
    assert row.bad is None
    assert spark.sql("SELECT unix_seconds(timestamp'2026-03-01 12:00:00') AS s").first().s == 1772366400


def test_workers_run_the_python_of_the_driver(spark: SparkSession) -> None:
    def executables(batches):
        import pyarrow

        for batch in batches:
            yield pyarrow.RecordBatch.from_arrays([pyarrow.array([sys.executable] * batch.num_rows)], ["executable"])

    rows = spark.range(1).mapInArrow(executables, "executable string").collect()
    assert [row.executable for row in rows] == [sys.executable]


@pytest.fixture
def no_session(monkeypatch) -> None:
    """As at the start of a process; a JVM that is started all the same fails the test."""
    monkeypatch.setattr(session.SparkSession, "getActiveSession", lambda: None)
    monkeypatch.setattr(session.SparkSession, "builder", None)
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)


def test_without_java_it_is_told_before_anything_starts(no_session, monkeypatch, make_config, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="no Java here"):
        get_session(make_config())


def test_without_delta_s_jars_it_is_told_before_anything_starts(
    no_session, monkeypatch, make_config, tmp_path: Path
) -> None:
    monkeypatch.setenv("METACON_JARS", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="Delta's jars are missing"):
        get_session(make_config())


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ({}, ["-XX:+UseParallelGC"]),
        ({"JAVA_TOOL_OPTIONS": "-Xss4m"}, ["-XX:+UseParallelGC"]),
        ({"JDK_JAVA_OPTIONS": "-Xss4m -XX:+UseG1GC"}, []),
        ({"JAVA_TOOL_OPTIONS": "-XX:+UseSerialGC"}, []),
    ],
)
def test_java_is_told_of_one_collector_alone(
    environment: dict[str, str], options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two it does not start."""
    for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert session.collector() == options
