"""What a run of the stage says of its data by day: missing values, growth, drift."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from pipeline import summary
from pipeline.config import load_config
from pipeline.evaluate.data_tables import SHIFTED, STABLE
from pipeline.layout import Layout
from pipeline.unfold import run
from tests.conftest import without_generated_code
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, event_source, facts_of, write_json

RULES: list[dict[str, Any]] = [
    {"name": "item", "kind": "field", "column": "item"},
    {"name": "kind", "kind": "field", "column": "kind"},
    {"name": "tags", "kind": "multi", "column": "tags"},
    {"name": "spent", "kind": "number", "column": "spent", "weight": "spent"},
    {"name": "ago", "kind": "recency"},
    {"name": "recent", "kind": "field", "column": "kind", "windows": ["5d"]},
    {"name": "latest", "kind": "field", "column": "kind", "aggregate": "last"},
]
DAYS = 10
FIRST = 19  # of February: the days 19 to 28


def event(n: int, item: str, kind: str) -> dict[str, Any]:
    day = FIRST + n * DAYS // 200
    tags = None if n % 4 == 0 else ([""] if n % 4 == 1 else ["x"])
    spent = None if n % 10 == 0 else 2.0
    at = f"2026-02-{day}T{n % 24:02d}:00:00"
    return {"user": f"u{n % 5}", "at": at, "item": item, "kind": kind, "tags": tags, "spent": spent}


# The items of the second half are others, with one more on each day; kinds stay as they are.
ROWS = [event(n, ("a" if n < 100 else "b") if n % 2 else f"d{n * DAYS // 200}", "k" + str(n % 3)) for n in range(200)]
AFTER = {"user": "u1", "at": f"{CUTOFF}T00:00:00", "item": "later", "kind": "later", "tags": ["later"], "spent": None}


def profile_of(config) -> dict[str, Any]:
    return summary.read(Layout.of(config), "profile")


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    static = write_json(folder, "people", [{"user": "u1", "age": 30}, {"user": "u9", "age": None}])
    people = {"name": "p", "format": "json", "path": static, "entity": "user", "types": {"age": "int"}}
    people["rules"] = [{"name": "age", "kind": "number", "column": "age"}]

    def make(rows: list[dict[str, Any]]):
        types = {"tags": "array<string>", "spent": "double"}
        source = event_source(write_json(folder, "events", rows), RULES, types=types)
        content = {"run": {"workdir": str(folder / "work")}, "sources": [source, people], "unfold": {"cutoff": CUTOFF}}
        (folder / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        settings = ("unfold.vocabulary.min_entities=2", "unfold.profile={drift: true, periods: 4}")
        return load_config([folder / "config.yaml"], (*SETTINGS, *settings))

    return make


@pytest.fixture(scope="module")
def runs(spark, make) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The summary and the profile of a run, and of one of other items after it."""
    found = []
    with without_generated_code(spark):
        for rows in (ROWS, [row | {"item": "z"} for row in ROWS]):
            config = make([*rows, AFTER])
            run(config)
            found.append((facts_of(config), profile_of(config)))
    return found


def test_planted_drift_is_found_and_a_stable_field_is_not(runs) -> None:
    drift = runs[0][1]["drift"]
    assert drift["s.item"]["psi"] > SHIFTED
    assert drift["s.kind"]["psi"] < STABLE
    assert drift["s.kind"]["rows"] == 200
    assert drift["s.item"]["by_period"][3] > drift["s.item"]["by_period"][0]
    # Half of the rows of either half are a, or b; the others, ten a day, the item of the day.
    before = {"a": 50, "b": 0} | {f"d{day}": 10 if day < 5 else 0 for day in range(10)}
    after = {"a": 0, "b": 50} | {f"d{day}": 0 if day < 5 else 10 for day in range(10)}
    rows = 100 + 0.5 * 13  # twelve items and the rest
    expected = sum(
        ((after[one] + 0.5) - (before[one] + 0.5)) / rows * math.log((after[one] + 0.5) / (before[one] + 0.5))
        for one in before
    )
    assert drift["s.item"]["psi"] == pytest.approx(expected)


def test_fields_without_days_or_of_the_day_itself_have_no_drift(runs) -> None:
    drift = runs[0][1]["drift"]
    assert drift["p.age"]["psi"] is None
    assert drift["s.ago"]["psi"] is None
    assert drift["s.latest"]["psi"] is None
    assert drift["s.recent.5d"]["psi"] is not None  # between the halves of its own five days


def test_growth_is_the_concepts_first_seen_on_each_day(runs) -> None:
    of_item = runs[0][1]["concepts_by_day"]["s.item"]
    assert [of_item[f"2026-02-{day}"]["new"] for day in range(19, 29)] == [2, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    assert [of_item[f"2026-02-{day}"]["seen"] for day in range(19, 29)] == [2] * 10
    assert sum(counts["new"] for counts in of_item.values()) == runs[0][0]["fields"]["s.item"]["concepts"]
    assert sum(counts["new_kept"] for counts in of_item.values()) == runs[0][0]["fields"]["s.item"]["kept"]


def test_rows_without_a_value_and_entities_by_day_are_exact(runs) -> None:
    sources = runs[0][0]["sources"]
    expected = {"item": 0, "kind": 0, "tags": 100, "spent": 20, "ago": 0, "recent": 0, "latest": 0}
    assert sources["s"]["missing_rows"] == expected
    assert sources["p"]["missing_rows"] == {"age": 1}
    assert sources["s"]["entities_by_day"] == {f"2026-02-{day}": 5 for day in range(19, 29)}
    assert sources["p"]["entities_by_day"] == {}


def test_drift_since_the_run_before_is_of_its_most_frequent_concepts(runs) -> None:
    first, second = (one[1]["drift"] for one in runs)
    assert "psi_since_last" not in first["s.item"]
    assert second["s.item"]["psi_since_last"] > SHIFTED
    assert second["s.kind"]["psi_since_last"] == 0.0
