"""Which days are unfolded, which are refused, and what makes days differ."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import daily
from pipeline.config import Config
from pipeline.daily.day_rules import fingerprint_of
from pipeline.daily.files import Events
from pipeline.daily.runs import (
    DayRun,
    check_days,
    days_of_window,
    days_that_lack,
    days_to_unfold,
    settled_days,
    span,
)
from pipeline.errors import UserError
from tests.pipeline.unfold.helpers import event_source

RULE = {"name": "item", "kind": "field", "column": "item"}
KNOWN = {f"2026-02-{day}": Events(5, 7) for day in (25, 26, 27)} | {"2026-03-01": Events(1, 1)}
DONE = {"2026-02-25": DayRun(Events(5, 7), "now"), "2026-02-26": DayRun(Events(4, 6), "now")}


@pytest.fixture
def configured(make_config):
    def make(
        *overrides: str, rule: dict[str, Any] = RULE, source: dict[str, Any] | None = None, **unfold: Any
    ) -> Config:
        sources = [event_source("{data}/events", [rule]) | (source or {})]
        return make_config(*overrides, sources=sources, unfold={"cutoff": "2026-03-01", **unfold})

    return make


def test_days_that_never_were_and_days_with_other_events_are_unfolded(configured):
    assert days_to_unfold(configured(), KNOWN, DONE, None) == (["2026-02-26", "2026-02-27"], ["2026-02-26"])


def test_days_that_are_asked_for_are_unfolded_again_and_late_ones_besides(configured):
    asked = span("2026-02-24", "2026-02-25")
    assert days_to_unfold(configured(), KNOWN, DONE, asked) == ([*asked, "2026-02-26"], ["2026-02-26"])


@pytest.mark.parametrize("left", [{}, {"2026-02-25": Events(4, 6)}])
def test_a_day_that_has_fewer_events_than_before_keeps_what_it_has(configured, left):
    known = {day: events for day, events in KNOWN.items() if day != "2026-02-25"} | left
    assert days_that_lack(known, DONE) == {"2026-02-25"}
    assert "2026-02-25" not in days_to_unfold(configured(), known, DONE, None)[0]
    assert "2026-02-25" in days_of_window(configured(), known, DONE)
    assert "2026-02-25" in days_to_unfold(configured(), known, DONE, ["2026-02-25"])[0]


def test_late_events_do_not_hide_that_others_are_gone(configured):
    """More events than were unfolded, but a file that the day was unfolded from is gone."""
    known = KNOWN | {"2026-02-25": Events(6, 99)}
    assert "2026-02-25" in days_to_unfold(configured(), known, DONE, None)[1]  # late, where nothing is gone
    days, late = days_to_unfold(configured(), known, DONE, None, {"2026-02-25"})
    assert "2026-02-25" not in days + late
    assert "2026-02-25" in days_to_unfold(configured(), known, DONE, ["2026-02-25"], {"2026-02-25"})[0]
    # The same events in other files, and days that were never unfolded, have lost nothing.
    assert settled_days(KNOWN, DONE, {"2026-02-25", "2026-02-26", "2026-02-27"}) == {"2026-02-25", "2026-02-27"}


def test_the_window_ends_before_the_cutoff_and_begins_with_the_start_or_the_longest_window(configured):
    assert days_of_window(configured(), KNOWN, DONE) == ["2026-02-25", "2026-02-26", "2026-02-27"]
    assert days_of_window(configured(start="2026-02-27"), KNOWN, DONE) == ["2026-02-27"]
    windowed = RULE | {"windows": ["1d", "3d"]}
    assert days_of_window(configured(rule=windowed), KNOWN, DONE) == ["2026-02-26", "2026-02-27"]


def test_a_day_of_the_window_that_was_never_unfolded_is_named():
    with pytest.raises(UserError, match=r"day 2026-02-27 is not unfolded yet.*--from 2026-02-27 --to 2026-02-27"):
        check_days(["2026-02-25", "2026-02-27"], KNOWN, DONE, [], "now")
    check_days(["2026-02-25", "2026-02-27"], KNOWN, DONE, ["2026-02-27"], "now")


def test_days_of_other_rules_are_to_be_backfilled():
    words = r"2 days from 2026-02-25 to 2026-02-26 are unfolded by other rules.*--from 2026-02-25 --to 2026-02-26"
    with pytest.raises(UserError, match=words):
        check_days(list(DONE), KNOWN, DONE, [], "later")
    check_days(list(DONE), KNOWN, DONE, list(DONE), "later")


@pytest.mark.parametrize(
    ("rule", "source", "same"),
    [
        ({"windows": ["7d"]}, {}, True),  # windows and caps are seen to when days are put together
        ({"max_concepts": 3}, {}, True),
        ({}, {"path": "{data}/moved"}, True),
        ({"weight": "price"}, {}, False),
        ({"aggregate": "last"}, {}, False),
        ({"name": "other"}, {}, False),
        ({}, {"where": "item > 'a'"}, False),
        ({}, {"types": {"item": "int"}}, False),
    ],
)
def test_what_a_day_holds_depends_on_its_rules(configured, rule, source, same):
    before, after = configured(), configured(rule=RULE | rule, source=source)
    assert (fingerprint_of(before, None) == fingerprint_of(after, None)) == same


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2026-02-30", "2026-03-01", "write days such as 2026-03-01"),
        ("2026-03-02", "2026-03-01", "--from 2026-03-02 is after --to 2026-03-01"),
        ("2026-03-02", None, "go together"),
    ],
)
def test_days_that_are_none_are_refused(configured, spark, first, last, words):
    with pytest.raises(UserError, match=words):
        daily.run(configured(), first, last)


@pytest.mark.parametrize(
    ("override", "rule", "source", "words"),
    [
        (
            "unfold.cutoff=2026-03-01T06:00:00",
            {},
            {},
            "2026-03-01 06:00:00 is not the beginning of a day",
        ),
        ("unfold.start=2026-01-01T06:00:00", {}, {}, "unfold.start"),
        ("spark.tables=parquet", {}, {}, "needs spark.tables: delta"),
        ("run.name=x", {"kind": "sql", "column": None, "query": "select 1"}, {}, "rule item: a rule of kind sql"),
        ("run.name=x", {}, {"time": None, "timezone": None}, "no source with rules has a time"),
    ],
)
def test_what_days_cannot_make_is_refused_before_any_work(configured, spark, override, rule, source, words):
    with pytest.raises(UserError, match=words):
        daily.run(configured(override, rule=RULE | rule, source=source))
