"""Vectors put together from days are those of the events as a whole, whatever was unfolded when and how often."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from pipeline import daily, summary, unfold
from pipeline.config import Config, load_config
from pipeline.daily import stage
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.tables import Tables
from tests.pipeline.daily.helpers import CUTOFF, SETTINGS, bytes_of, sections, write_events
from tests.pipeline.unfold import cutoff_cases
from tests.pipeline.unfold.helpers import facts_of, quarantined, vectors_of

FACTS = ("fields", "entities", "concepts_per_entity", "vocabulary_size")
RULES: list[dict[str, Any]] = [
    {"name": "item", "kind": "field", "column": "item", "windows": ["3d", "30d"]},
    {"name": "spent", "kind": "field", "column": "item", "weight": "value", "windows": ["3d"]},
    {"name": "tags", "kind": "multi", "column": "tags", "aggregate": "distinct"},
    {"name": "tags_decay", "kind": "multi", "column": "tags", "aggregate": "decay", "half_life": 3},
    {"name": "latest", "kind": "field", "column": "item", "aggregate": "last"},
    {"name": "highest", "kind": "map", "column": "scores", "aggregate": "max", "windows": ["30d"]},
    {"name": "recency", "kind": "recency"},
]
BAD = {"user": None, "at": "2026-02-24", "item": "bad", "tags": None, "scores": None, "value": None}


pytestmark = pytest.mark.usefixtures("quick")


def events(draw: random.Random, days: range, count: int) -> list[dict[str, Any]]:
    """Events on days after (negative: before) the cutoff, some at the first instant of a day."""
    found = []
    for _ in range(count):
        begin = datetime.fromisoformat(CUTOFF) + timedelta(days=draw.choice(days))
        at = begin + draw.choice([timedelta(0), timedelta(hours=draw.randrange(24), milliseconds=1)])
        found.append(cutoff_cases._event(draw, f"u{draw.randrange(12)}", at))
    return found


def made(folder: Path, workdir: str, rules: list[dict[str, Any]] = RULES, **unfold: Any) -> Config:
    path = folder / f"{workdir}.yaml"
    path.write_text(yaml.safe_dump(sections(folder, rules, workdir, **unfold)), encoding="utf-8")
    return load_config([path], SETTINGS)


def dies_at(point: str) -> Callable[[str], None]:
    """A process that ends at a point; make daily kills real ones."""

    def fault_point(name: str) -> None:
        if name == point:
            raise KeyboardInterrupt

    return fault_point


def days_kept(config: Config, spark: SparkSession) -> list[str]:
    """The partial aggregates, every one of them to the bit."""
    return sorted(repr(row) for row in Tables(config, spark).read("daily_associations").collect())


def days_of_last_run(config: Config) -> list[list[str]]:
    facts = summary.read(Layout.of(config), "daily")
    return [[day[-5:] for day in facts[name]] for name in ("days", "late")]


def check_profile(profile: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Drift counts each value once an entity and day, in the days of the window."""
    first = (datetime.fromisoformat(CUTOFF) - timedelta(days=30)).isoformat()
    of_days = {(row["user"], row["at"][:10], row["item"]) for row in rows if (row["item"] or " ").strip()}
    recent = {one for one in of_days if one[1] >= first[:10]}
    assert profile["rows_of"] == "days of entities"
    assert profile["drift"]["s.item.30d"]["rows"] == len(recent)
    by_day = profile["concepts_by_day"]["s.item.30d"]
    assert {day: counts["seen"] for day, counts in by_day.items()} == {
        day: len({item for _, other, item in recent if other == day}) for day in sorted({one[1] for one in recent})
    }
    known = {name for name, one in profile["drift"].items() if one["psi"] is not None}
    assert known >= {"s.item.30d", "s.tags_decay"}
    assert known.isdisjoint({"s.latest", "s.recency", "profile.age"})


@pytest.mark.slow
@pytest.mark.timeout(0)  # seven runs of the stage, however long they take
def test_days_in_any_order_twice_killed_and_late_make_the_vectors_that_all_events_make(spark, tmp_path, monkeypatch):
    draw = random.Random(3)
    early = events(draw, range(-40, -20, 7), 30)
    write_events(tmp_path, "1", early)
    middle = events(draw, range(-4, 0), 60)
    write_events(tmp_path, "2", [*middle, BAD])
    write_events(tmp_path, "3", events(draw, range(0, 3), 20))
    config = made(tmp_path, "days", transform="none", profile={"drift": True})
    daily.run(config, "2026-02-27", "2026-02-28", vectors=False)
    assert days_of_last_run(config) == [["02-27", "02-28"], []]
    before = days_kept(config, spark)
    monkeypatch.setattr(stage, "fault_point", dies_at("daily:after-day:2026-02-28"))
    with pytest.raises(KeyboardInterrupt):
        daily.run(config, "2026-02-28", "2026-02-28", vectors=False)
    assert days_kept(config, spark) == before
    monkeypatch.undo()
    late = events(draw, range(-2, -1), 9)
    write_events(tmp_path, "4", late)
    daily.run(config)
    assert days_of_last_run(config) == [["01-20", "01-27", "02-03", "02-25", "02-26", "02-27"], ["02-27"]]

    check_profile(summary.read(Layout.of(config), "profile"), [*early, *middle, *late])

    at_once, whole = (made(tmp_path, name, transform="none") for name in ("at_once", "whole"))
    daily.run(at_once, vectors=False)
    assert days_kept(config, spark) == days_kept(at_once, spark)
    unfold.run(whole)
    assert bytes_of(config, spark, "decay") == bytes_of(whole, spark, "decay")
    decayed = vectors_of(config, spark)
    for entity, vector in vectors_of(whole, spark).items():
        assert decayed[entity] == pytest.approx(vector, rel=1e-6, abs=2e-9)
    assert quarantined(config, spark) == quarantined(whole, spark)
    facts, expected = facts_of(config), facts_of(whole)
    assert {name: facts[name] for name in FACTS} == {name: expected[name] for name in FACTS}
    for source, profile in expected["sources"].items():
        assert facts["sources"][source] == profile

    with pytest.raises(UserError, match="days from 2026-01-20 to 2026-02-28 are unfolded by other rules"):
        daily.run(made(tmp_path, "days", [RULES[0] | {"windows": []}]))
    write_events(tmp_path, "1", early)  # the same rows at another time
    (tmp_path / "events" / "4.jsonl").unlink()
    daily.run(config, vectors=False)
    assert days_of_last_run(config) == [[], []]
    assert summary.read(Layout.of(config), "daily")["fewer"] == ["2026-02-27"]
    assert days_kept(config, spark) == days_kept(at_once, spark)


def test_a_late_file_does_not_replace_what_a_gone_file_gave(spark: SparkSession, tmp_path: Path) -> None:
    """Late events may be more than those that went: by their number alone the day would be unfolded from them only."""
    draw, day = random.Random(3), "2026-02-26"
    that_day = range(-3, -2)
    write_events(tmp_path, "1", events(draw, that_day, 3))
    config = made(tmp_path, "days")
    daily.run(config, vectors=False)
    kept = days_kept(config, spark)
    (tmp_path / "events" / "1.jsonl").unlink()
    write_events(tmp_path, "2", events(draw, that_day, 8))
    for _ in range(2):
        daily.run(config, vectors=False)
        assert summary.read(Layout.of(config), "daily")["fewer"] == [day]
        assert days_kept(config, spark) == kept
    daily.run(config, day, day, vectors=False)  # asked for: from what is there
    assert len(days_kept(config, spark)) > 0
    assert days_kept(config, spark) != kept
    write_events(tmp_path, "3", events(draw, that_day, 1))
    daily.run(config, vectors=False)  # nothing is missing any more
    assert days_of_last_run(config) == [["02-26"], ["02-26"]]
    other = made(tmp_path, "other")
    daily.run(other, vectors=False)
    assert days_kept(config, spark) == days_kept(other, spark)
