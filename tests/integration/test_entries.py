"""The entries in jobs/ as they are called: `python -m jobs.X` and `spark-submit jobs/X.py`, from any folder."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
ENTRIES = sorted(path.stem for path in (REPOSITORY / "jobs").glob("*.py") if path.stem != "__init__")


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"run": {"workdir": str(tmp_path / "work")}, "spark": {"master": "local[2]"}}))
    return path


def call(*command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def spark_submit(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    program = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    return call(str(program), *arguments, folder=folder, PYSPARK_PYTHON=sys.executable, **environment)


def assert_refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    said = done.stdout + done.stderr  # spark-submit puts what Python says on stderr on stdout
    assert done.returncode == 2, said
    assert words in said
    assert "Traceback" not in said
    assert "Exception" not in said


def test_there_is_an_entry_for_each_stage_and_one_for_all() -> None:
    assert {"align", "evaluate", "prepare", "run", "score", "simulate", "teach", "train", "unfold"} <= set(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_entries_are_thin_and_take_the_same_options(entry: str, config_file: Path, monkeypatch, capsys) -> None:
    assert len((REPOSITORY / "jobs" / f"{entry}.py").read_text().splitlines()) <= 40
    arguments = ["--config", str(config_file), "--set", "run.name=shown", "--log-level", "error", "--print-config"]
    monkeypatch.setattr(sys, "argv", [entry, *arguments])
    runpy.run_module(f"jobs.{entry}", run_name="__main__")
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["run"]["name"] == "shown"
    assert shown["train"]["epochs"] > 0


def test_python_m_refuses_bad_input_with_2_and_no_traceback(config_file: Path) -> None:
    done = call(
        sys.executable, "-m", "jobs.run", "--config", str(config_file), "--set", "trian.epochs=1", folder=REPOSITORY
    )
    assert_refused(done, "trian: unknown key 'trian'; did you mean 'train'?")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"JAVA_HOME": "/nowhere"}, "error: JAVA_HOME=/nowhere: no Java here; Spark needs Java 17 or newer"),
        ({"METACON_JARS": "/nowhere"}, "error: /nowhere: Delta's jars are missing"),
    ],
)
def test_what_spark_lacks_is_told_with_2_and_no_traceback(config_file: Path, environment, words: str) -> None:
    program = "import sys; from pipeline import entry, session; entry.main('', session.get_session, sys.argv[1:])"
    done = call(sys.executable, "-c", program, "--config", str(config_file), folder=REPOSITORY, **environment)
    assert_refused(done, words)


@pytest.mark.slow
def test_spark_submit_shows_the_configuration_from_any_folder(config_file: Path, tmp_path: Path) -> None:
    job = str(REPOSITORY / "jobs" / "unfold.py")
    done = spark_submit(job, "--config", config_file.name, "--set", "run.name=shown", "--print-config", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["run"]["name"] == "shown"


@pytest.mark.slow
def test_spark_submit_refuses_bad_input_with_2_and_no_traceback(config_file: Path, tmp_path: Path) -> None:
    job = str(REPOSITORY / "jobs" / "unfold.py")
    done = spark_submit(job, "--config", config_file.name, "--set", "unfold.salts=3", folder=tmp_path)
    assert_refused(done, "error: configuration refused:\n  unfold.salts: unknown key 'salts'; did you mean 'salt'?")


@pytest.mark.slow
def test_a_session_under_spark_submit_has_delta_and_what_spark_submit_was_told(
    config_file: Path, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from pipeline.config import load_config\n"
        "from pipeline.session import get_session\n"
        "spark = get_session(load_config([sys.argv[1]]))\n"
        "spark.range(3).write.format('delta').save(sys.argv[2])\n"
        "rows = spark.read.format('delta').load(sys.argv[2]).count()\n"
        "worker = spark.range(1).rdd.map(lambda _: __import__('sys').executable).first()\n"
        "print('|'.join([str(rows), worker, spark.conf.get('spark.sql.shuffle.partitions'), spark.version]))\n"
    )
    told = ["--conf", "spark.sql.shuffle.partitions=3", "--conf", "spark.driver.bindAddress=127.0.0.1"]
    done = spark_submit(*told, str(program), str(config_file), str(tmp_path / "table"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == f"3|{sys.executable}|3|{pyspark.__version__}"
