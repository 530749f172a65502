"""A PostgreSQL server of its own for a test: in a temporary folder, on a free port of the loopback address."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "correct horse"


@dataclass(frozen=True)
class Server:
    url: str
    psql: Sequence[str]

    def execute(self, script: str) -> None:
        environment = os.environ | {"PGPASSWORD": PASSWORD}
        subprocess.run(self.psql, input=script, text=True, check=True, env=environment, capture_output=True)


@contextmanager
def server() -> Iterator[Server]:
    """Runs as another user where root calls, whom the server refuses. Skips the test where there is no PostgreSQL."""
    programs = _programs()
    user = None if os.geteuid() else "nobody"
    home = Path(tempfile.mkdtemp(prefix="metacon-postgres-"))
    try:
        (home / "password").write_text(PASSWORD)
        if user is not None:
            for path in (home, home / "password"):
                shutil.chown(path, user)
        data, log = str(home / "data"), str(home / "log")
        how = ["--username=reader", f"--pwfile={home}/password", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
        subprocess.run([programs["initdb"], "-D", data, *how], check=True, user=user, cwd=home, capture_output=True)
        port = _free_port()
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={home} -c fsync=off"
        control = [programs["pg_ctl"], "-D", data, "-w"]
        subprocess.run([*control, "-l", log, "-o", options, "start"], check=True, user=user, cwd=home)
        try:
            where = ["-h", "127.0.0.1", "-p", str(port), "-U", "reader", "-d", "postgres"]
            psql = [programs["psql"], *where, "-q", "-v", "ON_ERROR_STOP=1"]
            yield Server(f"jdbc:postgresql://127.0.0.1:{port}/postgres", psql)
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, user=user, cwd=home, capture_output=True)
    finally:
        shutil.rmtree(home)


def _programs() -> dict[str, str]:
    """Debian keeps them outside the PATH, psql besides."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in reversed(folders):
        programs = {name: shutil.which(name, path=str(folder)) for name in ("initdb", "pg_ctl", "psql")}
        found = {name: path for name, path in programs.items() if path is not None}
        if len(found) == len(programs):
            return found
    pytest.skip("no PostgreSQL server here (initdb, pg_ctl and psql): install postgresql to run this")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
