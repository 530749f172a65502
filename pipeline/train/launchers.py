"""Starting the ranks: in this process, by horovodrun, or as Spark tasks.

A rank that meets bad input leaves its message in a file of the working folder, which all ranks share, because the
exit status that horovodrun and Spark report says only that some rank failed.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.train.ranks import ERROR_FILE, run_spark_rank

if TYPE_CHECKING:
    from pyspark import SparkContext

logger = logging.getLogger(__name__)

_START_SECONDS = 300
"""A rank imports torch first, which takes tens of seconds on a cold, busy machine."""
_LINES_KEPT = 5
_OF_RANK = re.compile(r"\[\d+\]<std(out|err)>:")
_HOROVOD = {
    "HOROVOD_GLOO_TIMEOUT_SECONDS": str(_START_SECONDS),
    "HOROVOD_START_TIMEOUT": str(_START_SECONDS),
}


def local_slots() -> int:
    """How many ranks this machine takes: its GPUs, else the cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return torch.cuda.device_count() or cores


def parse_hosts(hosts: str) -> dict[str, int]:
    """`a:2,b:4` -> slots by host. Raises UserError for anything else."""
    slots = {}
    for part in hosts.split(","):
        name, colon, count = part.strip().rpartition(":")
        if not (name and colon and count.isdigit() and int(count) > 0):
            raise UserError(f"train.hosts: {hosts!r}: write it as host:slots,host:slots, such as node1:4,node2:4")
        slots[name] = int(count)
    return slots


def slots_of(config: Config) -> tuple[int, str]:
    """How many ranks the launcher can start, and what that number is of."""
    if config.train.launcher == "process":
        return 1, "launcher process"
    if config.train.launcher == "spark":
        context = _spark(config)
        return context.defaultParallelism, f"Spark ({context.master})"
    if config.train.hosts:
        return sum(parse_hosts(config.train.hosts).values()), f"train.hosts ({config.train.hosts})"
    return local_slots(), "this machine (its GPUs, else its cores)"


def run_horovodrun(config: Config) -> None:
    """Train by `horovodrun`; returns when all ranks are done. Raises UserError or RuntimeError when one failed."""
    workdir = Layout.of(config).workdir
    config_file = workdir / "train_config.json"
    config_file.write_text(config.model_dump_json(indent=1), encoding="utf-8")
    error_file = _no_error(workdir)
    command = horovodrun_command(config, config_file)
    logger.info("starting %d ranks: %s", config.train.ranks, " ".join(command))
    environment = os.environ | _environment()
    own_words: deque[str] = deque(maxlen=_LINES_KEPT)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            # What ranks say is passed on; horovodrun's own traceback only says that some rank failed.
            if _OF_RANK.match(line):
                sys.stderr.write(line)
            else:
                own_words.append(line)
    if process.returncode:
        _raise(error_file, f"horovodrun ended with status {process.returncode}:\n{''.join(own_words)}")


def horovodrun_command(config: Config, config_file: Path) -> list[str]:
    """The argument list of horovodrun.

    On one machine ranks meet over the loopback interface: without it horovodrun looks for a common network by
    ssh, which a laptop or a container refuses.
    """
    hosts = config.train.hosts or f"localhost:{config.train.ranks}"
    network = [] if config.train.hosts else ["--network-interfaces", _loopback()]
    horovodrun = [sys.executable, "-m", "horovod.runner.launch", "--gloo", "-np", str(config.train.ranks), "-H", hosts]
    worker = [sys.executable, "-m", "pipeline.train.worker", str(config_file.absolute())]
    return [*horovodrun, *network, *worker]


def run_spark(config: Config) -> None:
    """Train by `horovod.spark.run`: each rank in a task of the running Spark session."""
    import horovod.spark

    _spark(config)
    error_file = _no_error(Layout.of(config).workdir)
    try:
        horovod.spark.run(
            run_spark_rank,
            args=(config.model_dump_json(),),
            num_proc=config.train.ranks,
            use_gloo=True,
            start_timeout=_START_SECONDS,
            env=_environment(),
            verbose=0,
        )
    except Exception as error:
        _raise(error_file, f"horovod.spark.run: {error}")
    if error_file.exists():
        _raise(error_file, "a rank met bad input")


def _spark(config: Config) -> SparkContext:
    """The context of the process's session. Imported here: ranks that need no Spark start a second sooner."""
    from pipeline.session import get_session

    return get_session(config).sparkContext


def _no_error(workdir: Path) -> Path:
    path = workdir / ERROR_FILE
    path.unlink(missing_ok=True)
    return path


def _raise(error_file: Path, what: str) -> None:
    if error_file.exists():
        message = error_file.read_text(encoding="utf-8")
        error_file.unlink()
        raise UserError(message)
    raise RuntimeError(f"training stopped; run it again to go on from the last checkpoint. {what}")


def _environment() -> dict[str, str]:
    """What ranks need: the same code whatever folder they start in, time to start, words as loud as ours."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    level = logging.getLevelName(logger.getEffectiveLevel()).lower()
    return _HOROVOD | {"PYTHONPATH": os.pathsep.join(paths), "METACON_LOG_LEVEL": level}


def _loopback() -> str:
    """The name of the interface that has 127.0.0.1: lo on Linux, lo0 on a Mac."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(a.family == socket.AF_INET and a.address == "127.0.0.1" for a in addresses):
            return name
    raise UserError("no network interface has 127.0.0.1; train with launcher process")
