"""Checks of what a run stands on, before any work starts: Java, Delta's jars, a writable place, enough slots."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import UserError

JAVA_NEEDED = 17

DELTA_JARS = {
    "io.delta_delta-spark_2.13-4.0.1.jar": "a1e76860b19fe1e6b205a4ea7a9099a2f9575d39bb71d49b3e679b299d0efb91",
    "io.delta_delta-storage-4.0.1.jar": "ecc42c5aaa51c423312d9e4e48aa4a12b34740bf2c37de0e8f279277ec3d12e4",
    "org.antlr_antlr4-runtime-4.13.1.jar": "54665d2838cc66458343468efc539e454fc95b46a8a04b13c6ac43fc9be63505",
}
"""Organisation_artifact-revision.jar -> SHA-256: what Delta needs beside Spark's own jars."""
JDBC_JARS = {
    "org.postgresql_postgresql-42.7.8.jar": "2a32a9dcbc42d67a50ad3a0de5efd102c8d2be46720045f2cbd6689f160ab7c7",
}
"""The same of PostgreSQL's driver."""


def jars_folder() -> Path:
    """Where `make setup` keeps the jars: $METACON_JARS, or jars/ in $METACON_CACHE or ~/.cache/metacon."""
    cache = Path(os.environ.get("METACON_CACHE") or Path.home() / ".cache" / "metacon")
    return Path(os.environ.get("METACON_JARS") or cache / "jars")


def needs_delta(config: Config) -> bool:
    """Whether a run reads or writes a Delta table."""
    joins = [join for source in config.sources for join in source.join]
    of_databases = [table for database in config.databases for table in database.tables]
    of_graphs = [table for graph in config.graphs for table in (*graph.nodes, *graph.edges)]
    tables = [*config.sources, *joins, *config.label_tables, *config.knowledge_base, *of_databases, *of_graphs]
    return config.spark.tables == "delta" or any(table.format == "delta" for table in tables)


def needs_jdbc(config: Config) -> bool:
    """Whether a run reads tables from a database server."""
    return any(database.jdbc is not None for database in config.databases)


def check_delta_jars() -> list[Path]:
    """Delta's jars. Raises UserError, naming those that are missing."""
    return _jars(DELTA_JARS, "Delta's jars are", "set spark.tables: parquet")


def check_jdbc_jars() -> list[Path]:
    """PostgreSQL's driver. Raises UserError where it is missing."""
    return _jars(JDBC_JARS, "PostgreSQL's driver is", "read the tables from files (path in place of dbtable)")


def _jars(names: Iterable[str], what: str, otherwise: str) -> list[Path]:
    folder = jars_folder()
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: {what} missing: {', '.join(missing)}; run `make setup`, point METACON_JARS at the folder that "
            f"holds them, or {otherwise}"
        )
    return [folder / name for name in names]


def check_java() -> None:
    """Raises UserError where the Java that Spark would start is missing or older than 17."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    place = f"JAVA_HOME={home}" if home else "PATH"
    remedy = f"install it (Debian: apt-get install openjdk-{JAVA_NEEDED}-jre-headless) or set JAVA_HOME to one"
    if java is None or shutil.which(java) is None:
        raise UserError(f"{place}: no Java here; Spark needs Java {JAVA_NEEDED} or newer: {remedy}")
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', shown)
    if found is None:
        raise UserError(f"{java} -version does not say a version: {shown.strip()[:200]!r}; {remedy}")
    if int(found.group(1)) < JAVA_NEEDED:
        raise UserError(f"{java} is Java {found.group(1)}; Spark needs Java {JAVA_NEEDED} or newer: {remedy}")


def check_writable(folder: Path, remedy: str = "set run.workdir to a folder you may write to") -> None:
    """Raises UserError where a folder that a run writes to cannot be made or written. Leaves nothing behind."""
    standing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=standing):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({standing}: {error.strerror}); {remedy}") from None


def check_slots(ranks: int, slots: int, where: str) -> None:
    """Raises UserError where there are more ranks than places to run them."""
    if ranks > slots:
        raise UserError(
            f"train.ranks: {ranks} ranks, but {where} has {slots} slot{'' if slots == 1 else 's'}; "
            f"lower train.ranks to {slots} or give it more slots"
        )
