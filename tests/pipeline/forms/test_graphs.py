"""Graphs: typed walks, weights, times, attributes; edges that lead nowhere and paths that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.unfold import run
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, event_source, quarantined, unfolded, write_json

USERS = [{"id": 1, "age": "34", "town": None}, {"id": "2", "age": None, "town": " "}, {"id": None, "age": "5"}]
FILMS = [{"id": 1, "price": "12.5", "tags": "old|loud"}, {"id": 7, "price": None, "tags": None}]
EDGES = [
    ("1", "rates", "1", "2", "2026-02-01T10:00:00Z"),
    ("1", "rates", "1", "0.5", "2026-02-02T10:00:00Z"),
    ("1", "rates", "7", "1", "2026-03-01T00:00:00Z"),
    ("2", "rates", "7", "3", "2026-02-28T23:59:59Z"),
    ("2", "follows", "1", "1", "2026-01-01T00:00:00Z"),
    ("1", "rates", "9", "1", "2026-01-01T00:00:00Z"),
    ("3", "rates", "1", "1", "2026-01-01T00:00:00Z"),
    ("1", "hates", "1", "1", "2026-01-01T00:00:00Z"),
    ("1", "rates", None, "1", "2026-01-01T00:00:00Z"),
    ("1", "rates", "7", "-1", "2026-01-01T00:00:00Z"),
    ("1", "rates", "7", "much", "2026-01-01T00:00:00Z"),
    ("1", "rates", "7", " ", "2026-01-01T00:00:00Z"),
]
RULES = [
    {"name": "age", "path": "age"},
    {"name": "film", "path": "rates"},
    {"name": "price", "path": "rates/price", "path_weight": "binary"},
    {"name": "tag", "path": "rates/tags"},
    {"name": "share", "path": "rates/^rates", "path_weight": "degree"},
    {"name": "friend_film", "path": "follows/rates"},
    {"name": "town", "path": "town"},
]


@pytest.fixture
def make(tmp_path, make_config):
    def made(rules: Any = RULES, given: Any = EDGES, **changes: Any):
        columns = ("source", "relation", "target", "weight", "at")
        rows = [dict(zip(columns, edge, strict=True)) for edge in given]
        graph = {
            "name": "g",
            "entity": "user",
            "nodes": [
                {"type": "user", "path": write_json(tmp_path, "users", USERS), "format": "json"}
                | {"attributes": [{"name": "age", "kind": "number", "column": "age"}, "town"]},
                {"type": "film", "path": write_json(tmp_path, "films", FILMS), "format": "json"}
                | {
                    "attributes": [
                        {"name": "price", "kind": "number", "column": "price", "base": 10},
                        {"name": "tags", "kind": "multi", "column": "tags", "separator": "|"},
                    ]
                },
            ],
            "edges": [
                {"path": write_json(tmp_path, "edges", rows), "format": "json", "weight": "weight", "time": "at"}
            ],
            "relations": {"rates": ["user", "film"], "follows": ["user", "user"]},
            "rules": rules,
        }
        return make_config(*SETTINGS, graphs=[graph | changes], unfold={"cutoff": CUTOFF})

    return made


def test_walks_are_typed_weighted_and_see_no_future(make, quick):
    config = make()
    assert unfolded(config, quick) == {
        "1": {
            **{"g.age=2^5": 1, "g.film=1": 2.5, "g.price=10^1": 1, "g.tag=old": 2.5, "g.tag=loud": 2.5, "g.share=1": 1},
        },
        "2": {"g.film=7": 3, "g.share=2": 1, "g.friend_film=1": 2.5},
    }
    assert sorted((source, reason) for source, reason, _ in quarantined(config, quick)) == [
        ("g.edges", "relation is no declared relation"),
        ("g.edges", "source is no node of the type that the relation leaves"),
        ("g.edges", "target is missing"),
        ("g.edges", "target is no node of the type that the relation arrives at"),
        ("g.edges", "weight is missing"),
        ("g.edges", "weight is not above 0"),
        ("g.edges", "weight is not of type double"),
        ("g.user", "id is missing"),
    ]


def test_edges_without_a_zone_are_refused(make, quick):
    with pytest.raises(UserError, match="graph g: time at of edges names no time zone"):
        run(make(given=[("1", "rates", "1", "2", "2026-02-01 10:00")]))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("hates", "no relation 'hates' leaves user; known there: follows, rates, age, town"),
        ("rates/rates", "no relation 'rates' leaves film; known there: price, tags"),
        ("^rates", "no relation 'rates' arrives at user; known there: follows"),
        ("rates{1,2}", "what is repeated leads from user to film, not back to user"),
        ("rates|follows", "alternatives end at different types: film, user"),
        ("age/rates", "no relation 'rates' leaves a value of user.age; known there: none"),
        ("(age|town)/^age", "no relation 'age' arrives at a value; known there: none"),
        ("rates//age", "expected a relation"),
    ],
)
def test_a_path_that_does_not_fit_the_types_is_refused_when_the_configuration_is_read(make, path, message):
    with pytest.raises(UserError, match=f"rule r: .*{message}"):
        make(rules=[{"name": "r", "path": path}])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entity": "movie"}, "graph g: entity: no nodes of type 'movie'; types: user, film"),
        ({"relations": {"rates": ["user", "movie"]}}, "relation rates: no nodes of type 'movie'"),
        ({"relations": {"age": ["user", "user"]}}, "age is an attribute of user and a relation from it"),
        ({"edges": [{"path": "e", "constant": "likes"}]}, "no relation 'likes' is declared; declared: follows, rates"),
        ({"nodes": [{"type": "user", "path": "u", "attributes": [{"name": "a", "kind": "time"}]}]}, "not time"),
        ({"name": "g.h"}, "is not a plain name"),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_configuration_is_read(make, changes, message):
    with pytest.raises(UserError, match=message):
        make(**changes)


def test_timed_edges_and_several_cutoffs_are_refused(make, quick):
    """An earlier example would see edges that come after its own cutoff."""
    config = make()
    unfold = config.unfold.model_copy(update={"cutoffs": ["2026-02-01 00:00:00", CUTOFF]})
    with pytest.raises(UserError, match=r"graph g: edges have a time.* unfold one cutoff at a time"):
        run(config.model_copy(update={"unfold": unfold}))


def test_a_path_from_a_source_over_weighted_edges_adds_fractions_up(tmp_path, make, make_config, quick):
    rows = [{"user": "u", "film": "1", "at": "2026-02-01T00:00:00Z"}] * 2
    source = event_source(
        write_json(tmp_path, "seen", rows), [{"name": "by", "kind": "path", "column": "film", "path": "^user.rates"}]
    )
    edges = [("1", "rates", "1", "0.25", "2026-01-01T00:00:00Z"), ("2", "rates", "1", "1.5", "2026-01-01T00:00:00Z")]
    graph = make([{"name": "age", "path": "age"}], edges).model_dump(mode="json")["graphs"]

    def config(**more):
        return make_config(
            *SETTINGS,
            sources=[source | {"rules": [source["rules"][0] | more]}],
            graphs=graph,
            unfold={"cutoff": CUTOFF},
        )

    assert unfolded(config(), quick)["u"] == {"s.by=1": 0.5, "s.by=2": 3}
    with pytest.raises(UserError, match="source s, rule by: aggregate count would cut weights of edges down"):
        config(aggregate="count")
