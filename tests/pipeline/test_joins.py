"""Events get the columns of what they name; two-column tables are part of the knowledge base."""

from __future__ import annotations

import logging

import pytest

from pipeline.errors import UserError
from pipeline.sources import read_source
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, event_source, unfolded, write_json

EVENTS = [{"user": "u", "at": "2026-02-01", "item": 1}, {"user": "v", "at": "2026-02-02", "item": 9}]
ITEMS = [{"id": "1", "genres": "War Drama"}, {"id": "2", "genres": "Comedy"}]
GENRE = [{"name": "genre", "kind": "multi", "column": "genres", "separator": " "}]


def joined(folder, items=ITEMS, **more):
    join = {
        "format": "json",
        "path": write_json(folder, "items", items),
        "rename": {"id": "item"},
        "key": "item",
    } | more
    return event_source(write_json(folder, "events", EVENTS), GENRE, join=[join])


def test_columns_of_the_joined_table_can_be_rules_and_conditions(spark, tmp_path, make_config):
    config = make_config(*SETTINGS, sources=[joined(tmp_path)], unfold={"cutoff": CUTOFF})
    rows_df = read_source(config, config.sources[0])
    assert {row["_entity"]: row["genres"] for row in rows_df.collect()} == {"u": "War Drama", "v": None}
    assert unfolded(config, spark) == {"u": {"s.genre=War": 1.0, "s.genre=Drama": 1.0}}


@pytest.mark.parametrize(
    ("items", "more", "message"),
    [
        ([*ITEMS, ITEMS[0]], {}, "item '1' stands in it 2 times, so events would double"),
        (ITEMS, {"rename": {"id": "item", "genres": "at"}}, "has a column at already"),
        (ITEMS, {"rename": {}}, "no column item"),
        (ITEMS, {"path": "/nowhere/items"}, "no json data at /nowhere/items"),
    ],
)
def test_a_join_that_does_not_fit_is_refused(spark, tmp_path, make_config, items, more, message):
    config = make_config(sources=[joined(tmp_path, items, **more)])
    with pytest.raises(UserError, match=message):
        read_source(config, config.sources[0])


def test_rows_without_a_key_are_left_out_and_told_of(spark, tmp_path, make_config, caplog):
    config = make_config(sources=[joined(tmp_path, [*ITEMS, {"id": None, "genres": "x"}])])
    with caplog.at_level(logging.WARNING):
        assert read_source(config, config.sources[0]).count() == 2
    assert "1 malformed rows are left out" in caplog.text


def test_knowledge_base_of_several_tables_some_with_one_relation(spark, tmp_path, make_config):
    links = write_json(tmp_path, "links", [{"movie": 1, "entity": "m1"}])
    triples = write_json(tmp_path, "kb", [{"head": "m1", "relation": "by", "tail": "kubrick"}])
    rules = [{"name": "director", "kind": "path", "column": "item", "path": "is/by"}]
    config = make_config(
        *SETTINGS,
        sources=[event_source(write_json(tmp_path, "events", EVENTS), rules)],
        unfold={"cutoff": CUTOFF},
        knowledge_base=[
            {"format": "json", "path": triples},
            {"format": "json", "path": links, "head": "movie", "constant": "is", "tail": "entity"},
        ],
    )
    assert unfolded(config, spark) == {"u": {"s.director=kubrick": 1.0}}
