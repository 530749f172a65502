"""Input that cannot be unfolded: a message that says what, where and what to do, before anything is written."""

from __future__ import annotations

import pytest

from pipeline.errors import UserError
from pipeline.tables import Tables
from pipeline.unfold import run
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, event_source, write_json

ROWS = [{"user": "u", "at": "2026-02-01", "item": "a", "tags": ["x"]}]
RULES = [{"name": "item", "kind": "field", "column": "item"}]


@pytest.fixture
def make(tmp_path, make_config):
    def make(*overrides: str, source: dict | None = None, rules=RULES, **sections):
        events = event_source(write_json(tmp_path, "events", ROWS), rules) | (source or {})
        return make_config(*SETTINGS, *overrides, sources=[events], **({"unfold": {"cutoff": CUTOFF}} | sections))

    return make


def refused(config, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        run(config)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_path_is_named(make, spark):
    refused(make(source={"path": "{data}/nowhere"}), "s", "data/nowhere")


@pytest.mark.parametrize(
    "change",
    [{"entity": "usr"}, {"time": "when"}, {"types": {"prise": "double"}}, {"rename": {"prise": "p"}}],
    ids=lambda change: next(iter(change)),
)
def test_a_declared_column_that_is_not_there_is_named_with_those_that_are(make, spark, change):
    wanted = next(iter(change.values()))
    refused(make(source=change), wanted if isinstance(wanted, str) else "prise", "item", "tags", "user")


@pytest.mark.parametrize("column", ["itm", "item.name"])
def test_a_column_of_a_rule_that_is_not_there_is_named(make, spark, column):
    refused(make(rules=[{**RULES[0], "column": column}]), column, "item")


def test_a_condition_that_cannot_be_resolved_is_shown(make, spark):
    refused(make(source={"where": "prise > 3"}), "where", "prise > 3")


def test_an_unknown_type_is_named(make, spark):
    refused(make(source={"types": {"item": "doubel"}}), "doubel")


def test_one_value_is_wanted_of_a_field(make, spark):
    refused(make(rules=[{"name": "tags", "kind": "field", "column": "tags"}]), "tags", "multi")


def test_times_without_a_zone_are_refused_unless_one_is_configured(make, spark):
    refused(make(source={"timezone": None}), "source s: time at of 1 rows names no time zone", "timezone: UTC")


@pytest.mark.parametrize(
    ("rule", "unfold", "words"),
    [
        ({"aggregate": "decay", "half_life": -1}, {}, "half_life: Input should be greater than 0"),
        ({"aggregate": "decay", "half_life": 0}, {}, "half_life: Input should be greater than 0"),
        ({"windows": ["-7d"]}, {}, "'-7d' is no window"),
        ({"windows": ["0d"]}, {}, "'0d' is no window"),
        ({}, {"horizon_days": -1}, "horizon_days: Input should be greater than 0"),
    ],
)
def test_windows_that_would_reach_into_the_labels_and_negative_half_lives_are_refused(make, rule, unfold, words):
    with pytest.raises(UserError, match=words):
        make(rules=[RULES[0] | rule], unfold={"cutoff": CUTOFF} | unfold)


@pytest.mark.parametrize("start", [CUTOFF, "2026-03-05"])
def test_features_that_would_start_within_the_labels_are_refused(make, spark, start):
    refused(make(unfold={"start": start, "cutoff": CUTOFF}), f"unfold.start {start}", "is not before unfold.cutoff")


def test_a_timed_source_needs_a_cutoff(make, spark):
    refused(make(unfold={}), "cutoff")


def test_a_cutoff_before_all_events_leaves_no_features(make, spark):
    refused(make(unfold={"cutoff": "2026-01-01"}), "2026-01-01", "features", "2026-02-01")


def test_a_cutoff_after_all_events_leaves_no_labels(make, spark):
    segment = {"name": "buys", "label": {"source": "s", "expression": "item = 'a'"}}
    refused(make(segments=[segment]), "labels", "2026-02-01")


def test_label_tables_need_no_events_after_the_cutoff(make, spark, tmp_path):
    table = {"name": "known", "format": "json", "path": write_json(tmp_path, "labels", [])}
    run(make(label_tables=[table], segments=[{"name": "buys", "label": {"table": "known"}}]))


def test_an_empty_vocabulary_says_how_to_fill_it_and_leaves_the_tables_that_stand(make, spark):
    run(make())
    config = make("unfold.vocabulary.min_entities=5")
    refused(config, "min_entities")
    assert Tables(config, spark).read("vocabulary").count() == 1


def test_a_path_needs_a_knowledge_base_and_known_relations(make, spark, tmp_path):
    rules = [{"name": "brand", "kind": "path", "column": "item", "path": "made_by/inn"}]
    refused(make(rules=rules), "knowledge_base")
    triples = [{"head": "a", "relation": relation, "tail": "b"} for relation in ("made_by", "in")]
    knowledge_base = {"format": "json", "path": write_json(tmp_path, "kb", triples)}
    refused(make(rules=rules, knowledge_base=knowledge_base), "'inn'", "in, made_by")
    refused(make(rules=rules, knowledge_base=knowledge_base | {"tail": "object"}), "object", "head, relation, tail")


def test_no_rules_means_nothing_to_unfold(make, spark):
    refused(make(rules=[]), "rules")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"kind": "field", "column": "item", "separator": ","}, "takes no separator"),
        ({"kind": "time", "column": "item"}, "takes no column"),
        ({"kind": "field", "column": "item", "half_life": 2}, "half_life"),
        ({"kind": "field", "column": "item", "weight": "v", "aggregate": "count"}, "weight"),
    ],
)
def test_an_option_that_a_rule_would_ignore_is_refused(make, rule, words):
    with pytest.raises(UserError, match=words):
        make(rules=[{"name": "r", **rule}])


def test_rules_of_one_name_are_refused(make):
    with pytest.raises(UserError, match="duplicate rule name: item"):
        make(rules=[*RULES, *RULES])


@pytest.mark.parametrize("option", ["mode", "inferSchema"])
def test_reader_options_that_would_hide_bad_rows_are_refused(make, option):
    with pytest.raises(UserError, match=option):
        make(source={"options": {option: "true"}})
