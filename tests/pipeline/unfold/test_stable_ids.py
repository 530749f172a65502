"""A vocabulary with stable ids: known concepts keep theirs, new ones come after, a dense run makes it compact."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.modelfolder import Architecture, ModelSpec, TaskSpec, check_vocabulary
from pipeline.tables import Tables
from pipeline.unfold import run
from pipeline.unfold.stable import VERSIONS, grown
from pipeline.vocabulary import first, hash_of_concepts, vocabulary_hash
from tests.pipeline.unfold.helpers import SETTINGS, facts_of, vectors_of, write_json

SCHEMA = "concept_id int, concept string, field string, entities long"


pytestmark = pytest.mark.usefixtures("quick")


def vocabulary(config: Any, spark: Any) -> dict[str, tuple[int, int]]:
    """concept -> id and entities."""
    rows = Tables(config, spark).read("vocabulary").collect()
    return {row["concept"].partition("=")[2]: (row["concept_id"], row["entities"]) for row in rows}


def test_ids_stay_new_ones_come_after_and_a_dense_run_is_compact(spark, tmp_path, make_config):
    def unfold(items: list[list[str]], ids: str, *rules: str) -> Any:
        rows = [{"user": f"u{n}", "items": of_user, "group": "g"} for n, of_user in enumerate(items)]
        found = [{"name": "i", "kind": "multi", "column": "items"}, {"name": "g", "kind": "field", "column": "group"}]
        source = {"name": "s", "format": "json", "path": write_json(tmp_path, "p", rows), "entity": "user"}
        source |= {"types": {"items": "array<string>"}, "rules": [rule for rule in found if rule["name"] in rules]}
        settings = (*SETTINGS, f"unfold.vocabulary.ids={ids}", "unfold.vocabulary.min_entities=2")
        config = make_config(*settings, sources=[source])
        run(config)
        return config

    config = unfold([["a", "b"], ["a", "b"], ["a"]], "stable", "i", "g")
    assert vocabulary(config, spark) == {"g": (0, 3), "a": (1, 3), "b": (2, 2)}
    assert facts_of(config)["vocabulary_version"] == 1
    before = vocabulary_hash(Tables(config, spark).read("vocabulary"))

    config = unfold([["c", "d", "a"], ["c", "d"], ["c", "e"]], "stable", "i")  # a is rarer than a new one may be
    assert vocabulary(config, spark) == {"g": (0, 0), "a": (1, 1), "b": (2, 0), "c": (3, 3), "d": (4, 2)}
    assert vectors_of(config, spark)["u0"] == {"s.i=a": 1, "s.i=c": 1, "s.i=d": 1}
    facts = facts_of(config)
    assert (facts["vocabulary_version"], facts["vocabulary_size"]) == (2, 5)
    assert (facts["new_concepts"], facts["vanished_concepts"]) == (2, 2)
    assert vocabulary_hash(first(Tables(config, spark).read("vocabulary"), 3)) == before

    config = unfold([["c", "d", "a"], ["c", "d"], ["c", "e"]], "dense", "i")
    assert vocabulary(config, spark) == {"c": (0, 3), "d": (1, 2)}
    rows = Tables(config, spark).read(VERSIONS).sort("version").collect()
    versions = [(row["version"], row["size"], row["ids"]) for row in rows]
    assert versions == [(1, 3, "stable"), (2, 5, "stable"), (3, 2, "dense")]


def test_a_hashed_vocabulary_cannot_grow(spark):
    old_df = spark.createDataFrame([(0, "#0", "#", 0)], SCHEMA)
    with pytest.raises(UserError, match="that is a hashed one; unfold once with"):
        grown(old_df, old_df.drop("concept_id"), (1, 9), lambda rows_df: rows_df)


def test_stable_is_not_for_hashed_ids(make_config):
    with pytest.raises(UserError, match="a hashed concept has the same id in every run"):
        make_config("unfold.vocabulary.kind=hashed", "unfold.vocabulary.ids=stable")


@pytest.mark.parametrize(("concepts", "fits"), [("ab", True), ("abc", True), ("bac", False), ("a", False)])
def test_a_model_takes_its_own_vocabulary_and_what_begins_with_it(concepts, fits):
    trained = hash_of_concepts(enumerate("ab"))
    architecture = Architecture(name="mmoe", settings={})
    spec = ModelSpec(architecture=architecture, vocabulary_hash=trained, vocabulary_size=2, tasks=[TaskSpec(name="t")])
    ours = hash_of_concepts(enumerate(concepts))
    arguments = (spec, ours, "here", lambda size: hash_of_concepts(enumerate(concepts[:size])))
    if fits:
        check_vocabulary(*arguments)
    else:
        with pytest.raises(UserError, match="is not the one the model was trained on"):
            check_vocabulary(*arguments)
