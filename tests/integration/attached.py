"""A stage in a process of its own on the JVM of the test run: its driver can be killed without a JVM's start for each.

python -m tests.integration.attached pipeline.align CONFIG, with the environment that `start` gives it.

What is killed is the process that a job's `main` runs in; what it told the JVM to do has ended by then, as at each
fault point, so what stands on disk is what a job killed together with its JVM leaves.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from pipeline.config import load_config
from pipeline.faults import VARIABLE
from tests.conftest import REPOSITORY, without_generated_code


def killed_at(point: str, spark: SparkSession, stage: str, config: Path) -> int:
    """Run a stage that is to end at a fault point; its exit status."""
    gateway = spark.sparkContext._gateway
    assert gateway is not None
    address = gateway.gateway_parameters
    joined = {"PYSPARK_GATEWAY_PORT": str(address.port), "PYSPARK_GATEWAY_SECRET": address.auth_token}
    finished = subprocess.run(
        [sys.executable, "-m", "tests.integration.attached", stage, str(config)],
        cwd=REPOSITORY,
        env={**os.environ, **joined, VARIABLE: point},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode != 0, f"{point} was not reached: {finished.stderr}"
    return finished.returncode


def attach() -> SparkSession:
    """A session of its own, the active one, of the JVM that the environment names."""
    SparkContext._ensure_initialized()
    jvm = SparkContext._jvm
    assert jvm is not None
    java_context = jvm.JavaSparkContext.fromSparkContext(jvm.org.apache.spark.SparkContext.getOrCreate())
    context = SparkContext(jsc=java_context, conf=SparkConf(_jconf=java_context.getConf()))
    context.environment[VARIABLE] = os.environ[VARIABLE]  # Spark's Python workers have their own
    java_session = jvm.org.apache.spark.sql.classic.SparkSession.getDefaultSession().get().newSession()
    jvm.org.apache.spark.sql.classic.SparkSession.setActiveSession(java_session)
    return SparkSession(context, java_session)


if __name__ == "__main__":
    with without_generated_code(attach()):
        import_module(sys.argv[1]).run(load_config([Path(sys.argv[2])]))
