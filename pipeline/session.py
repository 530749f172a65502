"""The one Spark session of a process."""

from __future__ import annotations

import os
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.config import Config

_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.ui.enabled": "false",
    "spark.python.worker.reuse": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}


def delta_jars() -> list[Path]:
    """The Delta jars that `make setup` fetched, from $METACON_JARS or ~/.cache/metacon/jars; may be empty."""
    cache = Path(os.environ.get("METACON_CACHE", Path.home() / ".cache" / "metacon"))
    folder = Path(os.environ.get("METACON_JARS", cache / "jars"))
    return sorted(folder.glob("*.jar"))


def get_session(config: Config) -> SparkSession:
    """The running session, or a new one with Delta, UTC and the settings of `config.spark`.

    What spark-submit set wins over the defaults here; `spark.settings` in the configuration wins over both.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    builder = SparkSession.builder.appName(f"metacon-{config.run.name}")
    if config.spark.master:
        builder = builder.master(config.spark.master)
    elif "SPARK_ENV_LOADED" not in os.environ:
        builder = builder.master("local[*]")
        builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    for key, value in _SETTINGS.items():
        builder = builder.config(key, value)
    builder = builder.config("spark.sql.shuffle.partitions", str(config.spark.shuffle_partitions))
    builder = builder.config("spark.driver.memory", config.spark.driver_memory)
    jars = delta_jars()
    if jars:
        builder = builder.config("spark.jars", ",".join(str(jar) for jar in jars))
    for key, value in config.spark.settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
