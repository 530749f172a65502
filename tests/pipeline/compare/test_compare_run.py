"""A comparison end to end on tiny shards: what is written, what is run again, and what is refused before any work."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pipeline import runs, summary
from pipeline.compare import run
from pipeline.compare import stage as compare_stage
from pipeline.compare.contenders import contender_config
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.modelfolder import load_model
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
    config = world(ours="longer", baseline="small")
    text = run(config, [0, 1])
    assert "relative to small" in text
    assert "Overhead of longer over the widest other model, small: 1.000 of its parameters" in text
    folder = Layout.of(config).report
    for label in ("small", "longer", "logistic regression"):
        assert f"\n| {label} |" in text
    rows = list(csv.DictReader((folder / "compare.csv").open()))
    assert len(rows) == 2 * 2 * 2 + 2  # models x seeds x segments, and the baseline's once
    passes = list(csv.DictReader((folder / "compare_passes.csv").open()))
    longer = [(row["seed"], row["passes"]) for row in passes if row["model"] == "longer"]
    assert longer == [(seed, str(n)) for seed in "01" for n in range(3)]  # counted from none
    assert all(0 < float(row["validation_auc"]) < 1 for row in passes)
    page = (folder / "compare.html").read_text()
    assert page.count("data:image/svg+xml") == 5
    assert "http" not in page.replace("http://www.w3.org", "")
    monkeypatch.setattr(runs.train, "run", lambda config: pytest.fail("trained again"))
    assert run(config, [0, 1]) == text


def test_a_contender_may_be_adapted_before_it_is_measured(world) -> None:
    models = {
        name: MODELS["small"] | {"train": {"learning_rate": 1e-6}, "adapt": name == "on"} for name in ("on", "off")
    }
    config = world(models=models)
    run(config, [0])
    folders = {name: Layout.of(contender_config(config, name, 0)) for name in models}
    adapted = summary.read(folders["on"], "adapt")
    assert any(one["rate"] is not None for one in adapted["segments"].values())
    assert load_model(folders["on"]).version != adapted["from"]
    assert not summary.read(folders["off"], "adapt")


def test_what_was_learnt_of_chains_stands_in_a_table(world) -> None:
    config = world(models={"small": MODELS["small"]})
    config = config.model_copy(update={"chains": [["large", "rare"]]})
    text = run(config, [0, 1])
    head = next(line for line in text.splitlines() if line.startswith("| large → rare |"))
    assert "violations" in head
    table = text[text.index(head) :].split("\n\n")[0].splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == ["| small", "| logistic regression"]
    page = (Layout.of(config).report / "compare.html").read_text()
    assert "large → rare" in page


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
        ({"baseline": "tiny"}, [], "compare.baseline: tiny is none of"),
        ({"models": {"x": {"model": {"name": "metaug"}}}}, [], "unknown model 'metaug'"),
        ({"models": {"x": MODELS["small"] | {"train": {"epoch": 3}}}}, [], "compare.models.x.train.epoch"),
        ({"models": {"x": {"model": {"name": "wdl"}, "adapt": True}}}, [], "a wdl cannot be; metaaug and mmoe can"),
        ({"models": {"x": MODELS["small"] | {"train": {"auxiliary": {"task": 3}}}}}, [], "train.auxiliary.task"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(world, monkeypatch, compare, labels, said) -> None:
    monkeypatch.setattr(compare_stage, "prepare_data", lambda config: pytest.fail("work began"))
    with pytest.raises(UserError, match=said):
        run(world(**compare), [0], labels)


@pytest.mark.parametrize("other", [{"train": {"targets": "soft"}}, {"adapt": True}])
def test_what_knows_no_chains_is_refused_for_a_contender_too(world, monkeypatch, other) -> None:
    monkeypatch.setattr(compare_stage, "prepare_data", lambda config: pytest.fail("work began"))
    config = world(models={"x": MODELS["small"] | other}).model_copy(update={"chains": [["large", "rare"]]})
    with pytest.raises(UserError, match="knows no chains"):
        run(config, [0])


def test_another_model_or_baseline_in_the_table_trains_nothing_again(world, monkeypatch) -> None:
    run(world(models={"small": MODELS["small"]}), [0])
    trained, train = [], runs.train.run
    monkeypatch.setattr(runs.train, "run", lambda config: trained.append(config.train.epochs) or train(config))
    run(world(ours="longer", baseline="small"), [0])
    assert trained == [2]


def test_a_seed_given_twice_is_one(world) -> None:
    text = run(world(models={"small": MODELS["small"]}), [0, 0])
    assert text == run(world(models={"small": MODELS["small"]}), [0])


def test_a_contenders_nested_keys_leave_the_others_as_they_are(world) -> None:
    models = {"x": MODELS["small"] | {"train": {"auxiliary": {"tasks": 5}}}}
    config = world(models=models)
    auxiliary = config.train.auxiliary.model_copy(update={"weight": 0.2})
    config = config.model_copy(update={"train": config.train.model_copy(update={"auxiliary": auxiliary})})
    chosen = contender_config(config, "x", 0).train.auxiliary
    assert (chosen.tasks, chosen.weight) == (5, 0.2)
