"""Checks of the environment: each says what is wrong, where, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.environment import (
    DELTA_JARS,
    check_delta_jars,
    check_java,
    check_jdbc_jars,
    check_slots,
    check_writable,
    jars_folder,
    needs_delta,
    needs_jdbc,
)
from pipeline.errors import UserError


def fake_java(folder: Path, words: str) -> Path:
    """A JAVA_HOME whose java says these words for -version, on stderr as the real one does."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{words}\nEND\n")
    java.chmod(0o755)
    return folder


class TestJava:
    @pytest.mark.parametrize(
        "words",
        [
            'openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment',
            'openjdk version "21" 2023-09-19',
            'Picked up JAVA_TOOL_OPTIONS: -Dx=y\nopenjdk version "17-ea" 2021-09-14',
        ],
    )
    def test_17_and_newer_pass(self, monkeypatch, tmp_path: Path, words: str) -> None:
        monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, words)))
        check_java()

    @pytest.mark.parametrize(
        ("words", "version"), [('java version "1.8.0_402"', "8"), ('openjdk version "11.0.2"', "11")]
    )
    def test_older_ones_are_refused(self, monkeypatch, tmp_path: Path, words: str, version: str) -> None:
        monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, words)))
        with pytest.raises(UserError, match=f"bin/java is Java {version}; Spark needs Java 17 or newer: install it"):
            check_java()

    def test_none_on_the_path_is_told(self, monkeypatch, tmp_path: Path) -> None:
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(UserError, match=r"PATH: no Java here.*openjdk-17-jre-headless"):
            check_java()

    def test_a_java_home_without_java_is_told(self, monkeypatch, tmp_path: Path) -> None:
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        with pytest.raises(UserError, match=f"JAVA_HOME={tmp_path}: no Java here"):
            check_java()

    def test_something_else_called_java_is_told(self, monkeypatch, tmp_path: Path) -> None:
        monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, "Unable to locate a Java Runtime")))
        with pytest.raises(UserError, match="does not say a version: 'Unable to locate"):
            check_java()


class TestDeltaJars:
    def test_the_ones_that_are_missing_are_named(self, monkeypatch, tmp_path: Path) -> None:
        present, *missing = DELTA_JARS
        (tmp_path / present).write_bytes(b"")
        monkeypatch.setenv("METACON_JARS", str(tmp_path))
        with pytest.raises(UserError) as caught:
            check_delta_jars()
        message = str(caught.value)
        assert str(tmp_path) in message
        assert all(name in message for name in missing)
        assert present not in message
        assert "make setup" in message

    def test_all_there_are_given(self, monkeypatch, tmp_path: Path) -> None:
        for name in (*DELTA_JARS, "another.jar"):
            (tmp_path / name).write_bytes(b"")
        monkeypatch.setenv("METACON_JARS", str(tmp_path))
        assert check_delta_jars() == [tmp_path / name for name in DELTA_JARS]

    def test_stand_in_the_cache_unless_told_otherwise(self, monkeypatch) -> None:
        monkeypatch.delenv("METACON_JARS", raising=False)
        monkeypatch.setenv("METACON_CACHE", "/some/cache")
        assert jars_folder() == Path("/some/cache/jars")

    def test_are_needed_for_delta_tables_and_delta_sources_only(self, make_config) -> None:
        source = {"name": "views", "path": "x", "entity": "user"}
        assert needs_delta(make_config())
        assert not needs_delta(make_config("spark.tables=parquet", sources=[source]))
        assert needs_delta(make_config("spark.tables=parquet", sources=[{**source, "format": "delta"}]))


class TestJdbcJars:
    def test_a_driver_that_is_missing_is_told(self, monkeypatch, tmp_path: Path) -> None:
        monkeypatch.setenv("METACON_JARS", str(tmp_path))
        with pytest.raises(UserError, match=r"PostgreSQL's driver is missing: org\.postgresql.*run `make setup`"):
            check_jdbc_jars()

    def test_the_driver_is_needed_for_databases_over_jdbc_only(self, make_config) -> None:
        table = {"name": "one", "key": "id"}
        from_files = {"name": "d", "entity": "one", "tables": [table | {"path": "x", "format": "delta"}]}
        assert not needs_jdbc(make_config(databases=[from_files]))
        assert needs_delta(make_config("spark.tables=parquet", databases=[from_files]))
        over_jdbc = {**from_files, "jdbc": {"url": "jdbc:postgresql://h/d"}, "tables": [table | {"dbtable": "x"}]}
        assert needs_jdbc(make_config(databases=[over_jdbc]))


class TestWritable:
    def test_a_folder_that_can_be_made_passes_and_is_not_made(self, tmp_path: Path) -> None:
        check_writable(tmp_path / "a" / "b")
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_below_a_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"file/out: cannot be written .*set run\.workdir"):
            check_writable(tmp_path / "file" / "out")

    def test_a_folder_of_a_system_that_takes_no_files_is_told(self) -> None:
        with pytest.raises(UserError, match="/proc/out: cannot be written"):
            check_writable(Path("/proc/out"))


class TestSlots:
    def test_as_many_ranks_as_slots_pass(self) -> None:
        check_slots(2, 2, "this machine")

    def test_more_ranks_than_slots_are_told(self) -> None:
        with pytest.raises(UserError, match="3 ranks, but this machine has 1 slot; lower train"):
            check_slots(3, 1, "this machine")
