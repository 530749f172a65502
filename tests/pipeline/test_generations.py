"""Generations: a reader finds the last good one, whatever happened to a writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import generations
from pipeline.errors import UserError
from pipeline.generations import current_generation, new_generation


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


@contextmanager
def killed_at(call: int) -> Iterator[None]:
    """The writer is killed just before its nth change of the folder's names: rename, pointer, each removal."""
    calls = 0

    def counted(real):
        def change(*arguments, **keywords):
            nonlocal calls
            calls += 1
            if calls == call:
                raise Killed
            return real(*arguments, **keywords)

        return change

    with (
        mock.patch.object(generations.os, "replace", counted(os.replace)),
        mock.patch.object(generations.shutil, "rmtree", counted(generations.shutil.rmtree)),
    ):
        yield


def write(root: Path, name: str, content: str) -> None:
    with new_generation(root, name) as folder:
        (folder / "content").write_text(content)


def write_and_fail(root: Path, name: str) -> None:
    with new_generation(root, name) as folder:
        (folder / "content").write_text("half")
        raise ValueError("bad row")


def read(root: Path) -> str:
    return (current_generation(root, "shards", "align") / "content").read_text()


def test_the_last_one_written_is_read(tmp_path: Path) -> None:
    write(tmp_path, "a", "first")
    write(tmp_path, "b", "second")
    assert read(tmp_path) == "second"


def test_the_previous_one_stays_for_those_who_still_read_it_and_older_ones_go(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path, name, name)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["b", "c"]


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    write(tmp_path, "a", "first")
    held = current_generation(tmp_path, "shards", "align")
    write(tmp_path, "a", "second")
    assert (held / "content").read_text() == "first"
    assert read(tmp_path) == "second"


def test_where_none_is_the_stage_to_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no shards here; run the align stage first"):
        read(tmp_path / "nothing")


def test_a_pointer_to_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a", "first")
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="CURRENT names a, which is missing; run the align stage again"):
        read(tmp_path)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path / "file" / "shards", "a", "first")


def test_a_writer_killed_for_good_leaves_the_last_good_one(tmp_path: Path) -> None:
    write(tmp_path, "a", "first")
    program = (
        "import os, signal, sys; from pathlib import Path; from pipeline.generations import new_generation\n"
        "with new_generation(Path(sys.argv[1]), 'b') as folder:\n"
        "    (folder / 'content').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".writing-*"))
    assert read(tmp_path) == "first"
    write(tmp_path, "b", "second")
    assert read(tmp_path) == "second"
    assert not list(tmp_path.glob(".writing-*"))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    writers=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["done", "fails"]) | st.integers(1, 6)), max_size=8
    )
)
def test_after_any_sequence_of_writers_the_last_good_one_is_read_whole(tmp_path_factory, writers) -> None:
    root = tmp_path_factory.mktemp("generations")
    good: set[str | None] = {None}
    for number, (name, fate) in enumerate(writers):
        content = f"content {number}"
        if fate == "fails":
            with pytest.raises(ValueError, match="bad row"):
                write_and_fail(root, name)
        elif fate == "done":
            write(root, name, content)
            good = {content}
        else:
            try:
                with killed_at(fate):
                    write(root, name, content)
            except Killed:
                good = good | {content}  # killed before the pointer: the old one; after: the new one
            else:
                good = {content}
        seen = read(root) if (root / "CURRENT").exists() else None
        assert seen in good
        good = {seen}
