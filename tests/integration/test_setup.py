"""Set-up: the scripts that make and make anew, the pinned set, the archive, the Airflow DAG."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

from pipeline import entry
from pipeline.environment import DELTA_JARS, JDBC_JARS
from pipeline.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]
JARS = DELTA_JARS | JDBC_JARS
SCRIPTS = [*sorted((REPOSITORY / "docker").glob("*.sh")), REPOSITORY / ".ci" / "run"]


def run(*command: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False)


def load(path: Path) -> types.ModuleType:
    """A file that is no part of a package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_valid_bash_and_executable(script: Path) -> None:
    done = run("bash", "-n", script, folder=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert os.access(script, os.X_OK)


def test_make_help_names_every_command() -> None:
    done = run("make", "help", folder=REPOSITORY)
    shown = set(re.findall(r"^  make (\S+)", done.stdout, re.MULTILINE))
    wanted = ["setup", "demo", "test", "lint", "package", "ml100k", "adult68", "a9a", "quality", "clean"]
    wanted += [f"bench-{what}" for what in ("mask", "reading", "scoring", "unfold")]
    assert set(wanted) <= shown


def test_the_whole_set_is_pinned_and_holds_what_we_ask_for() -> None:
    lines = [line for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = [re.match(r"([a-z0-9-]+)==\S+", line) for line in lines]
    assert all(pinned), "every line is name==version"
    ours = {line.split("==")[0] for line in lines if line.endswith("ours")}
    asked = set(
        re.findall(r'^ +"([A-Za-z][A-Za-z0-9-]*)(?:[=<][^"]*)?",$', (REPOSITORY / "setup.py").read_text(), re.MULTILINE)
    )
    asked |= {"cffi", "cloudpickle", "psutil", "wheel"}
    assert ours == {name.lower() for name in asked}


class TestSystemPackages:
    """docker/system_packages.sh with a PATH of our own making."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        for tool in ("bash", "dirname", "id", "sed", "head", "grep", "env"):
            found = shutil.which(tool)
            assert found
            (folder / tool).symlink_to(found)
        program(folder / "ldconfig", "echo libgomp.so.1")
        return folder

    def check(self, path: Path) -> subprocess.CompletedProcess[str]:
        script = REPOSITORY / "docker" / "system_packages.sh"
        return run("bash", script, folder=REPOSITORY, PATH=str(path), JAVA_HOME="", METACON_PYTHON=sys.executable)

    def test_what_is_missing_is_named_with_the_command_that_installs_it(self, path: Path) -> None:
        program(path / "java", "echo 'openjdk version \"11.0.2\"' >&2")
        program(path / "make", "true")
        done = self.check(path)
        assert done.returncode == 2
        assert "missing: Java 17 or newer (this is 11), g++, cmake\n" in done.stderr
        assert "sudo apt-get update && sudo apt-get install -y openjdk-17-jre-headless g++ cmake\n" in done.stderr

    def test_where_nothing_is_missing_nothing_is_said(self, path: Path) -> None:
        program(path / "java", "echo 'openjdk version \"17.0.2\"' >&2")
        for tool in ("g++", "cmake", "make"):
            program(path / tool, "true")
        done = self.check(path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class TestVenv:
    """docker/make_venv.sh with a Python that only pretends, so that every way to break off can be played."""

    STAMP = ".venv/.setup/packages"

    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        shutil.copytree(REPOSITORY / "docker", tmp_path / "docker")
        (tmp_path / "constraints.txt").write_text("tqdm==1\n")
        inside = "echo python >>calls"
        uv = "echo uv >>calls; [ ! -e broken ]"
        make = f"mkdir -p .venv/bin; printf '#!/bin/bash\\n{inside}\\n' >.venv/bin/python"
        make += f"; printf '#!/bin/bash\\n{uv}\\n' >.venv/bin/uv; chmod +x .venv/bin/*"
        program(tmp_path / "python", make)
        return tmp_path

    def make(self, checkout: Path) -> int:
        script = checkout / "docker" / "make_venv.sh"
        return run(script, self.STAMP, folder=checkout, METACON_PYTHON=str(checkout / "python")).returncode

    def calls(self, checkout: Path) -> int:
        return len((checkout / "calls").read_text().splitlines())

    def test_it_is_made_once(self, checkout: Path) -> None:
        assert self.make(checkout) == 0
        assert (checkout / self.STAMP).exists()
        before = self.calls(checkout)
        assert self.make(checkout) == 0
        assert self.calls(checkout) == before

    def test_a_half_made_one_is_made_anew(self, checkout: Path) -> None:
        (checkout / ".venv" / "half").mkdir(parents=True)
        assert self.make(checkout) == 0
        assert not (checkout / ".venv" / "half").exists()
        assert (checkout / self.STAMP).exists()

    def test_an_install_that_breaks_off_leaves_no_stamp(self, checkout: Path) -> None:
        (checkout / "broken").write_text("")
        assert self.make(checkout) != 0
        assert not (checkout / self.STAMP).exists()
        (checkout / "broken").unlink()
        assert self.make(checkout) == 0
        assert (checkout / self.STAMP).exists()

    def test_new_pins_are_installed_into_the_old_one(self, checkout: Path) -> None:
        assert self.make(checkout) == 0
        (checkout / ".venv" / "kept").write_text("")
        later = (checkout / self.STAMP).stat().st_mtime + 10
        os.utime(checkout / "constraints.txt", (later, later))
        before = self.calls(checkout)
        assert self.make(checkout) == 0
        assert self.calls(checkout) > before
        assert (checkout / ".venv" / "kept").exists()


def test_a_cached_horovod_wheel_is_reused(tmp_path: Path) -> None:
    script = REPOSITORY / "docker" / "build_horovod_wheel.sh"
    key = "import platform, torch; print(f'horovod-0.28.1-py311-torch{torch.__version__}-cpu-{platform.machine()}')"
    folder = tmp_path / "wheels" / run(sys.executable, "-c", key, folder=tmp_path).stdout.strip()
    left_over = folder / "build.killed" / "out"
    left_over.mkdir(parents=True)
    (left_over / "half.whl").write_text("")
    (folder / "whole.whl").write_text("")
    done = run(script, sys.executable, tmp_path, folder=tmp_path, HOROVOD_GPU="0")
    assert done.stdout == f"{folder}/whole.whl\n", done.stderr
    assert not left_over.exists()


class TestJars:
    @pytest.fixture
    def fetcher(self, monkeypatch, tmp_path: Path) -> types.ModuleType:
        monkeypatch.setenv("METACON_JARS", str(tmp_path / "jars"))
        module = load(REPOSITORY / "docker" / "fetch_jars.py")
        monkeypatch.setattr(module, "digest", lambda path: JARS.get(path.read_text(), "another"))
        monkeypatch.setattr(module, "fetch", lambda name, folder: (folder / name).write_text(name))
        return module

    def test_missing_and_altered_ones_are_fetched(self, fetcher: types.ModuleType, tmp_path: Path) -> None:
        fetcher.main()
        first, second, *_ = (tmp_path / "jars" / name for name in JARS)
        first.write_text("altered")
        second.unlink()
        fetcher.main()
        assert {path.name: path.read_text() for path in (tmp_path / "jars").iterdir()} == {n: n for n in JARS}

    def test_where_all_are_there_nothing_is_fetched(self, fetcher: types.ModuleType, monkeypatch) -> None:
        fetcher.main()
        monkeypatch.setattr(fetcher, "fetch", lambda name, folder: pytest.fail("fetched again"))
        fetcher.main()

    def test_a_fetch_that_breaks_off_leaves_nothing_half_written(self, fetcher, monkeypatch, tmp_path: Path) -> None:
        def break_off(name: str, folder: Path) -> None:
            (folder / name).write_text("half")
            raise UserError("no network")

        monkeypatch.setattr(fetcher, "fetch", break_off)
        with pytest.raises(UserError):
            fetcher.main()
        assert list((tmp_path / "jars").iterdir()) == []


@pytest.mark.slow
def test_the_archive_holds_all_three_packages(tmp_path: Path) -> None:
    for name in ("jobs", "pipeline", "models"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    done = run(*pip, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        str(path.relative_to(tmp_path))
        for name in ("jobs", "pipeline", "models")
        for path in (tmp_path / name).rglob("*")
        if path.is_file() and "dags" not in path.parts
    }
    assert wanted <= inside


def test_the_dag_runs_the_stages_in_order_with_options_that_the_entries_take(monkeypatch) -> None:
    tasks: list[FakeTask] = []
    monkeypatch.setenv("METACON_CONFIG", "mine.yaml")

    class FakeTask:
        def __init__(self, task_id: str, bash_command: str, **_: object) -> None:
            self.name, self.command, self.after = task_id, bash_command, []
            tasks.append(self)

        def __rshift__(self, later: FakeTask) -> FakeTask:
            later.after.append(self.name)
            return later

    class FakeDag:
        def __init__(self, **_: object) -> None:
            pass

        def __enter__(self) -> FakeDag:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    for name, content in (
        ("airflow", {}),
        ("airflow.sdk", {"DAG": FakeDag}),
        ("airflow.providers", {}),
        ("airflow.providers.standard", {}),
        ("airflow.providers.standard.operators", {}),
        ("airflow.providers.standard.operators.bash", {"BashOperator": FakeTask}),
    ):
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("METACON_HOME", str(REPOSITORY))
    load(REPOSITORY / "jobs" / "dags" / "metacon_daily.py")

    assert [task.name for task in tasks] == ["prepare", "unfold", "align", "teach", "train", "score", "evaluate"]
    assert [task.after for task in tasks] == [[], ["prepare"], ["unfold"], ["align"], ["teach"], ["train"], ["score"]]
    for task in tasks:
        filled = task.command.replace("{{ ds }}", "2026-03-08").replace("{{ ds_nodash }}", "20260308")
        words = shlex.split(re.sub(r"{{ macros\.ds_add\(ds, -7\) }}", "2026-03-01", filled))
        job = words.index(str(REPOSITORY / "jobs" / f"{task.name}.py"))
        options = entry._parser("", entry.own_options()).parse_args(words[job + 1 :])
        config = entry.load_config([], options.set)
        assert (config.unfold.cutoff, config.score.run_date) == ("2026-03-01 00:00:00", "2026-03-08")
        assert config.score.run_id == "day_20260308"
