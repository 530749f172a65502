"""The same small world as tables, as a database, as a graph and as facts gives the same concept vectors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.config import load_config
from tests.pipeline.unfold.helpers import unfolded

EXAMPLES = Path(__file__).parents[3] / "conf" / "examples"
EXPECTED = {
    "ann": {
        **{"age=34": 1, "city=rome": 1, "product=x1": 2, "product=x2": 1, "brand=acme": 2, "brand=bolt": 1},
        **{"tag=red": 2, "tag=big": 3, "category=saws": 2, "category=tools": 1, "above=tools": 2, "above=goods": 3},
    },
    "bob": {"city=oslo": 1, "product=x2": 1, "brand=bolt": 1, "tag=big": 1, "category=tools": 1, "above=goods": 1},
    "cy": {"age=58": 1},
    "dee": {"product=x3": 1},
}
FIELDS = {
    "orders__product__category__parent.category": "above",
    "orders__product__category__parent__parent.category": "above",
}
"""Where a concept of the database is not called by the name of its rule, as in the other forms."""


def canonical(vectors: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Vectors with concepts by the name of their rule, as in EXPECTED."""
    found = {}
    for entity, vector in vectors.items():
        named: Counter[str] = Counter()
        for concept, weight in vector.items():
            field, value = concept.split("=", 1)
            named[f"{FIELDS.get(field, field.split('.')[1])}={value}"] += weight
        found[entity] = dict(named)
    return found


@pytest.mark.parametrize("form", ["tables", "database", "graph", "facts"])
def test_every_form_gives_the_same_concept_vectors(quick, tmp_path, form):
    config = load_config([EXAMPLES / f"{form}.yaml"], [f"run.workdir={tmp_path}", f"run.data={EXAMPLES / 'shop'}"])
    assert canonical(unfolded(config, quick)) == EXPECTED
