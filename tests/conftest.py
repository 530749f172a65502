"""Shared fixtures: one Spark session for the whole run."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
# Tests are thousands of tiny queries: with the quick compiler alone (and room for all that it compiles), and without
# re-planning each query while it runs, they take less than half of the CPU time.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC")

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from xdist.scheduler import LoadScopeScheduling

from pipeline.config import Config, load_config
from pipeline.environment import JDBC_JARS, jars_folder
from pipeline.session import get_session

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """With pytest-xdist a worker has one Spark session; the files that need it are dealt in two lots, for two workers.
    Those of tests/integration start processes of their own and are dealt one by one."""
    return _SparkTogether(config, log)


class _SparkTogether(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if path.startswith("tests/integration/"):
            return path
        text = (REPOSITORY / path).read_text(encoding="utf-8")
        if not any(fixture in text for fixture in ("spark", "quick")):
            return path
        return "spark: unfold" if path.startswith("tests/pipeline/unfold/") else "spark"


DATABASE = """databases=[{name: any, entity: any, jdbc: {url: "jdbc:postgresql://127.0.0.1/any"},
    tables: [{name: any, key: any, dbtable: any}]}]"""
"""A configuration that asks for the JDBC driver."""


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    driver = [DATABASE] if all((jars_folder() / name).is_file() for name in JDBC_JARS) else []
    settings = ["spark.shuffle_partitions=2", "spark.settings={spark.sql.adaptive.enabled: 'false'}"]
    config = load_config([], ["spark.master=local[2]", "run.name=tests", *settings, *driver])
    session = get_session(config)
    yield session
    session.stop()


WITHOUT_GENERATED_CODE = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
"""For a few rows: to compile a plan takes longer than to run it."""


@contextmanager
def without_generated_code(spark: SparkSession) -> Iterator[None]:
    """Settings for a few rows, while it lasts."""
    names = WITHOUT_GENERATED_CODE | {"spark.sql.shuffle.partitions": "1"}
    before = {name: str(spark.conf.get(name)) for name in names}
    for name, value in names.items():
        spark.conf.set(name, value)
    yield
    for name, value in before.items():
        spark.conf.set(name, value)


@pytest.fixture
def quick(spark: SparkSession) -> Iterator[SparkSession]:
    """Spark without generated code."""
    with without_generated_code(spark):
        yield spark


@pytest.fixture
def make_config(tmp_path: Path):
    """A configuration with its own working folder: make_config("train.epochs=2", sources=[...])."""

    def make(*overrides: str, **sections: object) -> Config:
        import yaml

        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(sections), encoding="utf-8")
        return load_config([path], [f"run.workdir={tmp_path / 'work'}", *overrides])

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets; tests that ask for it skip where there is none."""
    for folder in (os.environ.get("DATA"), REPOSITORY / "data", REPOSITORY.parent / "shared" / "data"):
        if folder and (Path(folder) / "a9a").is_dir():
            return Path(folder)
    pytest.skip("no real data: set DATA= or put it in data/ (see README)")
