"""Fetch Delta's jars and PostgreSQL's driver from Maven Central into the cache, once: `python docker/fetch_jars.py`.

Spark brings Ivy along, which asks for one jar at a time. Jars are fetched into a temporary folder, checked against
their SHA-256 and moved into place, so that an interrupted fetch leaves nothing half written. JVM options such as a
proxy's (-Dhttps.proxyHost=…) go into JAVA_TOOL_OPTIONS.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyspark

from pipeline.environment import DELTA_JARS, JDBC_JARS, check_java, check_writable, jars_folder
from pipeline.errors import UserError

logger = logging.getLogger("set-up")
JARS = DELTA_JARS | JDBC_JARS


def fetch(name: str, folder: Path) -> None:
    """One jar into a folder. Raises UserError where it cannot be had, or is not the one that is meant."""
    organisation, artifact_revision = name.removesuffix(".jar").split("_", 1)
    artifact, revision = artifact_revision.rsplit("-", 1)
    ivy = next((Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar"))
    home = os.environ.get("JAVA_HOME")
    command = [str(Path(home) / "bin" / "java") if home else "java", "-jar", str(ivy), "-confs", "default"]
    command += ["-cache", str(folder / "ivy"), "-notransitive", "-dependency", organisation, artifact, revision]
    command += ["-retrieve", str(folder / "[organisation]_[artifact]-[revision].[ext]")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not (folder / name).is_file():
        raise UserError(f"{name}: cannot be fetched from Maven Central:\n{(done.stdout + done.stderr)[-2000:]}")
    if digest(folder / name) != JARS[name]:
        raise UserError(f"{name}: what was fetched has another SHA-256 than pipeline/environment.py says")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    target = jars_folder()
    wanted = [name for name in JARS if not (target / name).is_file() or digest(target / name) != JARS[name]]
    if not wanted:
        return
    check_java()
    check_writable(target, "set METACON_CACHE or METACON_JARS to one that may be")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name in wanted:
            logger.info("fetching %s", name)
            fetch(name, Path(temporary))
            arriving = target / f".{name}.{os.getpid()}"  # the temporary folder may be on another disk
            shutil.move(Path(temporary) / name, arriving)
            os.replace(arriving, target / name)
    logger.info("the jars are in %s", target)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="[%(name)s] %(message)s", stream=sys.stderr)
    try:
        main()
    except UserError as error:
        logger.error("%s", error)
        raise SystemExit(2) from None
