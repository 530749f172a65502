"""Tuning on tiny shards: equal trials, drawn the same however often it is stopped, and never the query split."""

from __future__ import annotations

import csv
from pathlib import Path

import optuna
import pytest
import yaml

from pipeline.compare.contenders import contender_config
from pipeline.config import Config, load_config
from pipeline.errors import UnfitValues, UserError
from pipeline.layout import Layout
from pipeline.shards import batches
from pipeline.tune import run, stage
from tests.pipeline.train.worlds import write_world

SETTINGS = {
    "embedding_dim": 4,
    "experts": 2,
    "expert_layers": 1,
    "expert_width": 4,
    "gate_hidden": 0,
    "tower_hidden": 0,
}
TRAIN = {"epochs": 2, "batch_size": 64, "threads": 1, "auxiliary": {"tasks": 0}}
TUNE = {
    "trials": 3,
    "shared": {"train.learning_rate": {"low": 0.001, "high": 0.1, "log": True}},
    "models": {
        "metaaug": {
            "model.settings.expert_width": {"choices": [4, 8]},
            "model.settings.expert_layers": {"low": 1, "high": 2},
        }
    },
}


@pytest.fixture
def world(tmp_path: Path, make_config, monkeypatch):
    """A configuration over shards that stand already."""
    write_world(tmp_path / "work", rows={"support": 256, "validation": 96, "query": 128})
    monkeypatch.setattr(stage, "prepare_data", lambda config: None)

    def make(train: dict[str, object] | None = None, **tune: object) -> Config:
        models = {"ours": {"model": {"name": "metaaug", "settings": SETTINGS}}}
        compare = {"models": models, "tuned": str(tmp_path / "tuned")}
        return make_config(train=TRAIN | (train or {}), tune=TUNE | tune, compare=compare)

    return make


def trials(config: Config) -> list[dict[str, str]]:
    return list(csv.DictReader((Layout.of(config).report / "tune_ours.csv").open()))


def test_the_best_values_are_what_compare_trains_with(world, tmp_path: Path) -> None:
    config = world(train={"learning_rate": 1e-7})  # as configured nothing is learnt
    text = run(config, ["ours"], tmp_path / "tuned")
    rows = trials(config)
    assert "ours: 3 trials" in text
    assert len(rows) == 3
    best = max(rows, key=lambda row: float(row["validation_auc"]))
    assert rows[0] == best
    values = yaml.safe_load((tmp_path / "tuned" / "ours.yaml").read_text())
    assert values["train"]["learning_rate"] == float(best["train.learning_rate"])
    chosen = contender_config(config, "ours", 0)
    assert chosen.train.learning_rate == values["train"]["learning_rate"]
    assert chosen.train.epochs == 2
    assert chosen.model.settings == SETTINGS | values["model"]["settings"]
    assert chosen.model.settings["expert_width"] == int(best["model.settings.expert_width"])
    assert not (Layout.of(config).workdir / "tune" / "ours").exists()


def test_what_is_configured_is_the_first_trial_and_stays_where_it_is_best(world, tmp_path: Path) -> None:
    config = world(train={"learning_rate": 0.03}, shared={"train.learning_rate": {"low": 1e-9, "high": 1e-8}})
    run(config, ["ours"], tmp_path / "tuned")
    first, *others = sorted(trials(config), key=lambda row: int(row["trial"]))
    assert first["train.learning_rate"] == ""
    assert all(row["train.learning_rate"] for row in others)
    assert trials(config)[0] == first
    assert "as configured" in (tmp_path / "tuned" / "ours.yaml").read_text()
    assert contender_config(config, "ours", 0).model_dump()["model"]["settings"] == SETTINGS
    assert contender_config(config, "ours", 0).train.learning_rate == 0.03


def test_the_query_split_is_never_read(world, tmp_path: Path, monkeypatch) -> None:
    read = batches.scan_batches
    asked = []

    def watched(shards, split, *args, **kwargs):
        asked.append(split)
        return read(shards, split, *args, **kwargs)

    for module in ("pipeline.train.validation", "pipeline.train.start"):
        monkeypatch.setattr(f"{module}.scan_batches", watched)
    config = world(trials=1)
    run(config, [], tmp_path / "tuned")
    assert "validation" in asked
    assert "query" not in asked


def test_a_run_that_is_stopped_goes_on_as_if_it_had_not_been(world, tmp_path: Path, monkeypatch) -> None:
    config = world()
    run(config, [], tmp_path / "tuned")
    whole = trials(config)
    for study in (Layout.of(config).workdir / "tune").glob("*.jsonl*"):
        study.unlink()
    train, calls = stage.train.run, []

    def killed(config, watch):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        train(config, watch)

    monkeypatch.setattr(stage.train, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        run(config, [], tmp_path / "tuned")
    run(config, [], tmp_path / "tuned")
    assert len(calls) == 4  # one of them cut short
    drawn = [{key: value for key, value in row.items() if key != "trial"} for row in trials(config)]
    assert drawn == [{key: value for key, value in row.items() if key != "trial"} for row in whole]
    run(config, [], tmp_path / "tuned")
    assert len(calls) == 4


def test_a_trial_below_the_median_is_stopped_early_and_counts(world, tmp_path: Path, monkeypatch) -> None:
    class Pruner(optuna.pruners.BasePruner):
        def prune(self, study, trial) -> bool:
            return trial.number == 1 and trial.last_step == 1

    monkeypatch.setattr("pipeline.tune.study.optuna.pruners.MedianPruner", lambda *_, **__: Pruner())
    config = world()
    assert "3 trials, 1 stopped early" in run(config, [], tmp_path / "tuned")
    assert [row["state"] for row in trials(config)] == ["complete", "complete", "pruned"]


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ({"models": {"metaaug": {"model.settings.width": {"choices": [4]}}}}, "width"),
        ({"shared": {"train.learning_rate": {"low": -1.0, "high": 1.0}}}, r"train\.learning_rate"),
        ({"shared": {}, "models": {}}, "nothing to draw for ours"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(world, tmp_path: Path, monkeypatch, tune, said) -> None:
    monkeypatch.setattr(stage, "prepare_data", lambda config: pytest.fail("work began"))
    with pytest.raises(UserError, match=said):
        run(world(**tune), [], tmp_path / "tuned")


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("{evaluate.threshold: {choices: [f1]}}", "cannot be tuned"),
        ("{train.auxiliary.weight: {low: 0, high: 1}}", "cannot be tuned"),
        ("{train.hide: {low: 0.5, high: 0.1}}", "low 0.5 is above high 0.1"),
        ("{train.hide: {low: 0, high: 1, log: true}}", "starts above 0"),
        ("{train.hide: {low: 0, choices: [1]}}", "low and high, or choices"),
        ("{train.hide: {low: 0}}", "low and high, or choices"),
    ],
)
def test_ranges_that_make_no_sense(space: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_config([], [f"tune.shared={space}"])


@pytest.mark.parametrize("content", ["[1]", "{train: 3}", "{model: {name: mmoe}}", "{compare: {}}", "{", "3"])
def test_a_file_of_values_that_is_none_is_refused(world, tmp_path: Path, content: str) -> None:
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "ours.yaml").write_text(content)
    with pytest.raises(UserError, match=r"ours\.yaml: (write it as|cannot be read)"):
        contender_config(world(), "ours", 0)


def test_values_that_do_not_fit_are_a_trial_without_a_value_and_tuning_goes_on(world, tmp_path, monkeypatch) -> None:
    config, train, calls = world(), stage.train.run, []

    def unfit(config, watch):
        calls.append(config.train.learning_rate)
        if len(calls) == 2:
            raise UnfitValues("the loss is not a finite number")
        train(config, watch)

    monkeypatch.setattr(stage.train, "run", unfit)
    run(config, [], tmp_path / "tuned")
    assert len(set(calls)) == 3
    assert sorted(row["state"] for row in trials(config)) == ["complete", "complete", "fail"]
    run(config, [], tmp_path / "tuned")
    assert len(calls) == 3


def test_what_is_configured_has_to_fit(world, tmp_path, monkeypatch) -> None:
    def unfit(config, watch):
        raise UnfitValues("the loss is not a finite number")

    monkeypatch.setattr(stage.train, "run", unfit)
    with pytest.raises(UserError, match="not a finite number"):
        run(world(), [], tmp_path / "tuned")


def test_a_contenders_own_epochs_and_choice_of_epoch_count(world, tmp_path, monkeypatch) -> None:
    config = world(trials=1)
    ours = config.compare.models["ours"].model_copy(update={"train": {"epochs": 1, "select_by": "niche"}})
    compare = config.compare.model_copy(update={"models": {"ours": ours}})
    seen, opened = [], stage.open_study
    monkeypatch.setattr(stage, "open_study", lambda *args: seen.append(args[-1]) or opened(*args))
    run(config.model_copy(update={"compare": compare}), [], tmp_path / "tuned")
    assert seen == [1]
    assert "niche AUC" in (tmp_path / "tuned" / "ours.yaml").read_text()
