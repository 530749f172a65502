"""A comparison end to end on tiny shards: what is written, what is run again, and what is refused before any work."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pipeline import runs
from pipeline.compare import run
from pipeline.compare import stage as compare_stage
from pipeline.errors import UserError
from pipeline.layout import Layout
from tests.pipeline.train.worlds import write_world

SETTINGS = {
    "embedding_dim": 4,
    "experts": 2,
    "expert_layers": 1,
    "expert_width": 4,
    "gate_hidden": 0,
    "tower_hidden": 0,
}
MODELS = {
    "small": {"model": {"name": "metaaug", "settings": SETTINGS}},
    "longer": {"model": {"name": "metaaug", "settings": SETTINGS}, "train": {"epochs": 2}},
}
TRAIN = {"epochs": 1, "batch_size": 64, "threads": 1, "auxiliary": {"tasks": 0, "weight": 0}}


@pytest.fixture
def world(tmp_path: Path, make_config, monkeypatch):
    """A configuration over shards that stand already."""
    write_world(tmp_path / "work", rows={"support": 256, "validation": 96, "query": 128})
    monkeypatch.setattr(compare_stage, "prepare_data", lambda config: None)
    return lambda **compare: make_config(
        train=TRAIN,
        evaluate={"baselines": ["logistic_regression"]},
        compare={"models": MODELS, **compare},
    )


def test_tables_and_page_hold_every_model_and_a_second_run_trains_nothing(world, monkeypatch) -> None:
    config = world(ours="longer")
    text = run(config, [0, 1])
    folder = Layout.of(config).report
    for label in ("small", "longer", "logistic regression"):
        assert f"\n| {label} |" in text
    rows = list(csv.DictReader((folder / "compare.csv").open()))
    assert len(rows) == 2 * 2 * 2 + 2  # models x seeds x segments, and the baseline's once
    page = (folder / "compare.html").read_text()
    assert page.count("data:image/svg+xml") == 3
    assert "http" not in page.replace("http://www.w3.org", "")
    monkeypatch.setattr(runs.train, "run", lambda config: pytest.fail("trained again"))
    assert run(config, [0, 1]) == text


def test_only_the_models_asked_for(world) -> None:
    text = run(world(), [0], ["small"])
    assert "| small |" in text
    assert "longer" not in text


@pytest.mark.parametrize(
    ("compare", "labels", "said"),
    [
        ({"models": {}}, [], "compare.models is empty"),
        ({}, ["tiny"], "compare.models has no tiny; it has longer, small"),
        ({"ours": "tiny"}, [], "compare.ours: tiny is none of"),
        ({"models": {"x": {"model": {"name": "metaug"}}}}, [], "unknown model 'metaug'"),
        ({"models": {"x": MODELS["small"] | {"train": {"epoch": 3}}}}, [], "compare.models.x.train.epoch"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(world, monkeypatch, compare, labels, said) -> None:
    monkeypatch.setattr(compare_stage, "prepare_data", lambda config: pytest.fail("work began"))
    with pytest.raises(UserError, match=said):
        run(world(**compare), [0], labels)
