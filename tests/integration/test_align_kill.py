"""Killing the align stage at any point leaves the last good shards; running it again gives the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

from pipeline.align import run
from pipeline.config import Config, load_config
from pipeline.faults import VARIABLE
from pipeline.layout import Layout
from pipeline.shards.dataset import open_shards
from pipeline.tables import Tables
from tests.conftest import REPOSITORY, WITHOUT_GENERATED_CODE
from tests.integration.attached import killed_at
from tests.pipeline.align.world import sections_of, unfolded, write_world

BEFORE_THE_SWITCH = [
    "align:after-labels",
    "align:before-part",  # in a Python worker of Spark, with a file half done
    "align:before-manifest",
    "align:after-manifest",
    "generation:before-pointer",
]
AFTER_THE_SWITCH = ["align:after-shards", "align:before-summary"]
WITH_ITS_JVM = "align:after-manifest"
KILLED = -9


def contents(config: Config) -> dict[str, str]:
    """The files of the current shards, which are checked on opening, and their hashes."""
    folder = open_shards(Layout.of(config)).folder
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def killed_with_its_jvm(point: str, path: Path) -> int:
    """Run the job in a process of its own that ends at a point; its exit status."""
    environment = {**os.environ, VARIABLE: point, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "jobs.align", "--config", str(path), "--set", "spark.master=local[1]"]
    finished = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode != 0, f"{point} was not reached: {finished.stderr}"
    return finished.returncode


@pytest.mark.slow
@pytest.mark.timeout(0)  # starts Spark once more, however long that takes
def test_killed_anywhere_the_last_good_shards_stand(quick: SparkSession, tmp_path: Path) -> None:
    spark = quick
    write_world(tmp_path)
    sections = sections_of(tmp_path)
    sections["segments"] = [one for one in sections["segments"] if one["name"] in ("buyer", "level")]
    sections["spark"] = {"tables": "parquet", "shuffle_partitions": 1, "settings": WITHOUT_GENERATED_CODE}
    sections["align"]["masks"] = {"implication": False}  # half of the work, and nothing of it is written before its end

    def configured(workdir: str, seed: int) -> tuple[Config, Path]:
        sections["align"]["shards"]["seed"] = seed
        path = tmp_path / f"{workdir}-{seed}.yaml"
        path.write_text(yaml.safe_dump({**sections, "run": {"workdir": str(tmp_path / workdir)}}), encoding="utf-8")
        config = load_config([path])
        if not Layout.of(config).tables.exists():
            for name in ("concept_vectors", "vocabulary"):
                Tables(config, spark).replace(name, unfolded(spark, tmp_path, name))
        return config, path

    uninterrupted, _ = configured("uninterrupted", seed=2)
    run(uninterrupted)
    expected = contents(uninterrupted)

    config, _ = configured("killed", seed=1)
    run(config)
    good = contents(config)
    assert good != expected

    config, path = configured("killed", seed=2)
    for point in [*BEFORE_THE_SWITCH, *AFTER_THE_SWITCH]:
        own = point == WITH_ITS_JVM
        status = killed_with_its_jvm(point, path) if own else killed_at(point, spark, "pipeline.align", path)
        assert status == KILLED or point == "align:before-part"
        assert contents(config) == (good if point in BEFORE_THE_SWITCH else expected), point
    run(config)
    assert contents(config) == expected
    left = sorted(entry.name for entry in Layout.of(config).shards.iterdir())
    assert len(left) == 3, "CURRENT, its generation and the one before"
