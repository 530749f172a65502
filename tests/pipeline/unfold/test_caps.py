"""Norms of fields, caps of rules and entities, too common concepts: what stays; what is dropped is counted."""

from __future__ import annotations

import math

import pytest

from pipeline.errors import UserError
from pipeline.tables import Tables
from pipeline.unfold import run
from tests.pipeline.unfold.helpers import SETTINGS, facts_of, unfolded, vectors_of, write_json

WEIGHTS = {"a": 3.0, "b": -8.0, "c": 3.0, "d": 1.0, "e": 2.0}
RULES = [
    {"name": "item", "kind": "field", "column": "item", "weight": "w", "max_concepts": 3},
    {"name": "tag", "kind": "field", "column": "tag"},
]
ROWS = [
    *({"user": "rich", "item": item, "w": weight, "tag": None} for item, weight in WEIGHTS.items()),
    *({"user": "rich", "item": None, "w": None, "tag": tag} for tag in ("x", "x", "y")),
    {"user": "poor", "item": "d", "w": 0.5, "tag": None},
]


@pytest.fixture
def make(tmp_path, make_config):
    def make(*overrides: str, rows=ROWS, rules=RULES):
        path = write_json(tmp_path, "rows", rows)
        source = {"name": "s", "format": "json", "path": path, "entity": "user", "rules": rules}
        return make_config(*SETTINGS, *overrides, sources=[source | {"types": {"w": "double"}}])

    return make


def test_rules_are_capped_then_normed_then_the_entity_is_capped(spark, make):
    config = make("unfold.normalise=field", "unfold.max_concepts=4")
    vectors = unfolded(config, spark)
    # Of the items b, a and c stay (a and c before e and d); of all, b 8/√82, tags 2/√5 and 1/√5, and then, as a and c
    # weigh the same, the one of lower id.
    norm = math.sqrt(3**2 + 8**2 + 3**2)
    assert vectors == {
        "rich": pytest.approx(
            {
                "s.item=b": -8 / norm,
                "s.tag=x": 2 / math.sqrt(5),
                "s.tag=y": 1 / math.sqrt(5),
                "s.item=a": 3 / norm,
            },
            rel=1e-6,
        ),
        "poor": {"s.item=d": 1.0},
    }
    assert facts_of(config)["dropped"] == {
        "max_concepts_of_rules": {"s.item": 2},
        "max_concepts": {"pairs": 1, "entities": 1},
    }
    first = sorted(map(tuple, Tables(config, spark).read("concept_vectors").collect()))
    again = make("unfold.normalise=field", "unfold.max_concepts=4", "unfold.salt=3", rows=ROWS[::-1])
    run(again)
    assert sorted(map(tuple, Tables(again, spark).read("concept_vectors").collect())) == first
    assert all(row[1] == sorted(row[1]) for row in first)


def test_too_common_concepts_are_dropped_and_counted(spark, make):
    rows = [{"user": f"u{n}", "item": item, "w": 1, "tag": "all"} for n in range(4) for item in "ab"[: 1 + (n < 2)]]
    config = make("unfold.vocabulary.max_share=0.5", rows=rows)
    assert unfolded(config, spark) == {"u0": {"s.item=b": 1}, "u1": {"s.item=b": 1}}
    assert facts_of(config)["dropped"] == {"max_share": {"s.item": 1, "s.tag": 1}, "max_concepts_of_rules": {}}
    assert facts_of(config)["concepts_pruned"] == 2
    with pytest.raises(UserError, match=r"at most 0 \(unfold.vocabulary.max_share\)"):
        run(make("unfold.vocabulary.max_share=0.2", rows=rows))
    assert set(vectors_of(config, spark)) == {"u0", "u1"}


def test_too_rare_concepts_are_dropped_by_share(spark, make):
    rows = [{"user": f"u{n}", "item": item, "w": 1, "tag": "all"} for n in range(5) for item in "ab"[: 1 + (n < 2)]]
    config = make("unfold.vocabulary.min_share=0.41", rows=rows)  # 2.05 of 5 entities: three are needed
    assert unfolded(config, spark) == {f"u{n}": {"s.item=a": 1, "s.tag=all": 1 + (n < 2)} for n in range(5)}
    assert facts_of(config)["concepts_pruned"] == 1
    assert set(unfolded(make("unfold.vocabulary.min_share=0.4", rows=rows), spark)["u0"]) == {
        "s.item=a",
        "s.item=b",
        "s.tag=all",
    }


def test_hashed_ids_have_norms_too(spark, make):
    config = make(
        "unfold.normalise=field", "unfold.vocabulary.kind=hashed", "unfold.vocabulary.bits=16", rules=RULES[1:]
    )
    expected = {"s.tag=x": 2 / math.sqrt(5), "s.tag=y": 1 / math.sqrt(5)}
    assert unfolded(config, spark) == {"rich": pytest.approx(expected, rel=1e-6)}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("unfold.max_concepts=0", "max_concepts"),
        ("unfold.normalise=rows", "normalise"),
        ("unfold.vocabulary={kind: hashed, max_share: 0.5}", "min_share and max_share are for the exact vocabulary"),
        ("unfold.vocabulary={kind: hashed, min_share: 0.5}", "min_share and max_share are for the exact vocabulary"),
        ("unfold.vocabulary={min_share: 0.5, max_share: 0.5}", "no concept is left"),
        ("unfold.vocabulary.max_share=0", "max_share"),
        ("unfold.vocabulary.max_share=1.5", "max_share"),
    ],
)
def test_bounds_that_cannot_be_are_refused(make, override, words):
    with pytest.raises(UserError, match=words):
        make(override)
