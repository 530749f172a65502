"""The one Spark session of a process."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from pipeline.config import Config
from pipeline.environment import check_delta_jars, check_java, check_jdbc_jars, needs_delta, needs_jdbc

_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    # All stages of a run, and a stage that is run again, find their compiled code again: 100 plans are few.
    "spark.sql.codegen.cache.maxEntries": "1000",
    "spark.sql.ansi.enabled": "false",
    "spark.ui.enabled": "false",
    "spark.python.worker.reuse": "true",
    # Else every column asks the JVM several times where in our code it is made.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
}

_DELTA = "io.delta.sql.DeltaSparkSessionExtension"
_DRIVER = "org.postgresql.Driver"
_DELTA_SETTINGS = {
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.extensions": _DELTA,
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}

_CLASSES = ("functions", "PythonUtils", "PythonSQLUtils")
"""Classes of the JVM that pyspark names without their package."""

_LOGGING = Path(__file__).with_name("log4j2.properties")


def get_session(config: Config) -> SparkSession:
    """The running session, or a new one with Delta, UTC and the settings of `config.spark`.

    What spark-submit set wins over the defaults here; `spark.settings` in the configuration wins over both.
    Raises UserError, before a JVM starts, where Java or jars that the configuration needs are missing.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # spark-submit started the JVM, and us
    if submitted:
        SparkContext._ensure_initialized()
        given = dict(SparkConf().getAll())
    else:
        check_java()
        given = {"spark.master": "local[*]"}
    if config.spark.master:
        given["spark.master"] = config.spark.master
    local = given["spark.master"].startswith("local")
    if local or not submitted:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else workers run whatever python3 the PATH has
    settings = _SETTINGS | {
        "spark.sql.shuffle.partitions": str(config.spark.shuffle_partitions),
        "spark.driver.memory": config.spark.driver_memory,
    }
    if local:
        settings |= _local_settings()
    jars: list[Path] = []
    if needs_delta(config):
        settings |= _DELTA_SETTINGS
        jars += _missing(_DELTA, submitted, given | config.spark.settings, check_delta_jars)
    if needs_jdbc(config):
        jars += _missing(_DRIVER, submitted, given | config.spark.settings, check_jdbc_jars)
    settings |= _with_jars(jars, submitted)
    builder = SparkSession.builder.appName(f"metacon-{config.run.name}")
    for key, value in (settings | given | config.spark.settings).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    _remember_classes(session)
    return session


def _remember_classes(session: SparkSession) -> None:
    """py4j asks for a class each time that it is named, and the JVM then looks for it in every jar."""
    for name in _CLASSES:
        setattr(session._jvm, name, getattr(session._jvm, name))


def _local_settings() -> dict[str, str]:
    """On one machine: only the loopback address, few words, a progress bar on a terminal."""
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
    }
    options = collector()
    if _LOGGING.is_file():  # not where the package is imported from an archive
        options.append(f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}")
    return settings | {"spark.driver.extraJavaOptions": " ".join(options)}


def collector() -> list[str]:
    """Java's option for the collector that costs least where all cores work; none where the environment names one
    (with two the JVM does not start). On 2 cores its default, G1, cost unfold a third of its time."""
    given = " ".join(os.environ.get(name, "") for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"))
    return [] if re.search(r"-XX:\+Use\w+GC", given) else ["-XX:+UseParallelGC"]


def _missing(name: str, submitted: bool, given: dict[str, str], jars: Callable[[], list[Path]]) -> list[Path]:
    """Jars to bring in for a class, none where something else did already (--packages, a cluster's own)."""
    if submitted:
        return [] if _on_class_path(name) else jars()
    return [] if "spark.jars" in given or "spark.jars.packages" in given else jars()


def _with_jars(jars: Sequence[Path], submitted: bool) -> dict[str, str]:
    if submitted:  # spark.jars comes too late for the driver of a JVM that runs already
        for jar in jars:
            _class_loader().addURL(_java().io.File(str(jar)).toURI().toURL())
    return {"spark.jars": ",".join(str(jar) for jar in jars)} if jars else {}


def _java() -> Any:
    assert SparkContext._jvm is not None
    return SparkContext._jvm.java


def _class_loader() -> Any:
    return _java().lang.Thread.currentThread().getContextClassLoader()


def _on_class_path(name: str) -> bool:
    try:
        _class_loader().loadClass(name)
    except Py4JJavaError:
        return False
    return True
