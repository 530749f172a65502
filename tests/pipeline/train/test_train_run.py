"""The whole stage in one process."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import summary
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.modelfolder import LoadedModel, load_model
from pipeline.shards.batches import scan_batches
from pipeline.shards.dataset import open_shards
from pipeline.train import launchers, loop, run
from pipeline.train.precision import choose_precision
from tests.pipeline.train.worlds import CONCEPTS, MIXED, config_for, write_world


class Killed(Exception):
    """Stands for a kill in the middle of a step."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch):
    def set_step(step: int | None) -> None:
        def point(name: str) -> None:
            if name == f"train:step:{step}:rank:0":
                raise Killed

        monkeypatch.setattr(loop, "fault_point", point)

    return set_step


def log_lines(config: Config, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in Layout.of(config).train_log.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == kind]


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return dict(loaded.model.named_parameters())


def test_training_learns_the_planted_signal_and_leaves_model_log_and_summary(tmp_path: Path) -> None:
    config = config_for(tmp_path, "train.epochs=4")
    write_world(tmp_path)
    run(config)
    loaded = load_model(Layout.of(config))
    facts = summary.read(Layout.of(config), "train")
    assert facts["validation_auc"] > 0.8
    assert facts["steps"] == 32
    assert facts["parameters"] == sum(parameter.numel() for parameter in loaded.model.parameters())
    assert loaded.spec.metrics["validation"]["mean"] == facts["validation_auc"]
    assert set(loaded.spec.thresholds) == {"large", "rare"}
    assert loaded.spec.vocabulary_hash == open_shards(Layout.of(config)).vocabulary_hash
    steps, epochs = log_lines(config, "step"), log_lines(config, "epoch")
    assert [line["step"] for line in steps] == list(range(1, 33))
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert [line["step"] for line in epochs] == [8, 16, 24, 32]
    assert not list(Layout.of(config).checkpoints.iterdir())


def test_thresholds_select_on_validation_what_the_objective_asks_for(tmp_path: Path) -> None:
    config = config_for(tmp_path, "evaluate.threshold=prevalence")
    write_world(tmp_path)
    run(config)
    loaded = load_model(Layout.of(config))
    selected = positives = 0.0
    with torch.no_grad():
        for _, batch in scan_batches(open_shards(Layout.of(config)), "validation", 64):
            mine = batch.pair_tasks == 0
            scores = torch.sigmoid(loaded.model(batch)[mine, 0])
            selected += float((scores >= loaded.spec.thresholds["large"]).sum())
            positives += float(batch.labels[mine].sum())
    assert selected == pytest.approx(positives, abs=1)


@pytest.mark.parametrize("sparse", ["never", "always"])
def test_a_run_killed_in_mid_epoch_and_resumed_ends_bit_for_bit_as_one_never_killed(
    tmp_path: Path, kill_at, sparse: str
) -> None:
    overrides = (
        "train.epochs=3",
        "train.checkpoint_every=3",
        "train.hide=0.5",
        "model.settings.dropout=0.3",
        f"train.sparse_embeddings={sparse}",
    )
    whole, killed = config_for(tmp_path / "a", *overrides), config_for(tmp_path / "b", *overrides)
    write_world(tmp_path / "a")
    write_world(tmp_path / "b")
    run(whole)
    for step in (13, 21):  # in the middle of the second epoch, then of the third
        kill_at(step)
        with pytest.raises(Killed):
            run(killed)
    kill_at(None)
    run(killed)
    one, other = load_model(Layout.of(whole)), load_model(Layout.of(killed))
    for (name, expected), actual in zip(weights(one).items(), weights(other).values(), strict=True):
        assert torch.equal(actual, expected), name
    assert other.spec.metrics == one.spec.metrics
    assert other.spec.thresholds == one.spec.thresholds
    for kind in ("step", "epoch"):
        expected, actual = (
            [{key: value for key, value in line.items() if key != "seconds"} for line in log_lines(config, kind)]
            for config in (whole, killed)
        )
        assert actual == expected


def test_without_resume_a_run_starts_anew(tmp_path: Path, kill_at) -> None:
    config = config_for(tmp_path, "train.checkpoint_every=3", "train.resume=false")
    write_world(tmp_path)
    kill_at(5)
    with pytest.raises(Killed):
        run(config)
    kill_at(None)
    run(config)
    assert [line["step"] for line in log_lines(config, "step")] == list(range(1, 17))


def test_shards_written_anew_are_not_resumed_on(tmp_path: Path, kill_at, caplog: pytest.LogCaptureFixture) -> None:
    config = config_for(tmp_path, "train.checkpoint_every=3")
    write_world(tmp_path)
    kill_at(5)
    with pytest.raises(Killed):
        run(config)
    kill_at(None)
    write_world(tmp_path, rows={"support": 128, "validation": 32, "query": 8})
    with caplog.at_level(logging.WARNING):
        run(config)
    assert "other shards" in caplog.text
    assert summary.read(Layout.of(config), "train")["steps"] == 8


def test_early_stopping_keeps_the_best_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of the epochs validates best; two worse ones after it end the run."""
    config = config_for(tmp_path, "train.epochs=9", "train.patience=2", "train.ema=null")
    write_world(tmp_path)
    values = iter([0.5, 0.6, 0.8, 0.7, 0.75])  # before the first step, then after each epoch
    kept = {}

    def judge(*_: object) -> Any:
        from pipeline.train.validation import Quality

        return Quality(mean=next(values))

    offer = loop.Selection.offer

    def note(self: Any, model: torch.nn.Module, quality: Any, progress: Any) -> None:
        kept[progress.epoch] = {name: p.detach().clone() for name, p in model.named_parameters()}
        offer(self, model, quality, progress)

    monkeypatch.setattr(loop, "judge", judge)
    monkeypatch.setattr(loop.Selection, "offer", note)
    run(config)
    facts = summary.read(Layout.of(config), "train")
    assert (facts["epochs"], facts["best_epoch"], facts["stopped_early"]) == (4, 1, True)
    assert facts["validation_auc"] == 0.8
    for name, weight in weights(load_model(Layout.of(config))).items():
        assert torch.equal(weight, kept[1][name])
        assert not torch.equal(weight, kept[3][name]) or weight.abs().sum() == 0


def test_niche_selection_looks_at_niche_tasks_only(tmp_path: Path) -> None:
    config = config_for(tmp_path, "train.epochs=5", "train.select_by=niche")
    write_world(tmp_path)
    run(config)
    niche = [line["validation"]["groups"]["niche"] for line in log_lines(config, "epoch")]
    assert summary.read(Layout.of(config), "train")["best_epoch"] == niche.index(max(niche))


def test_the_epoch_of_the_lowest_loss_is_kept_where_that_is_asked_for(tmp_path: Path, monkeypatch) -> None:
    from pipeline.train.validation import Quality

    values = iter([(0.5, 0.9), (0.9, 0.4), (0.6, 0.3), (0.8, 0.5)])  # before the first step, then after each epoch
    monkeypatch.setattr(loop, "judge", lambda *_: Quality(*next(values)))
    config = config_for(tmp_path, "train.epochs=3", "train.select_by=loss")
    write_world(tmp_path)
    run(config)
    assert summary.read(Layout.of(config), "train")["best_epoch"] == 1


def test_members_of_an_ensemble_are_trained_apart_and_with_their_auxiliary_tasks(tmp_path: Path) -> None:
    write_world(tmp_path)
    config = config_for(tmp_path, "train.epochs=2", "model.members=2", "train.auxiliary={tasks: 10, weight: 1.0}")
    run(config)
    assert all(line["auxiliary_loss"] > 0 for line in log_lines(config, "step"))
    trained = weights(load_model(Layout.of(config)))
    for name in ("auxiliary.weight", "towers.last", "embedding.weight"):
        assert not torch.equal(trained[f"members.0.{name}"], trained[f"members.1.{name}"])


def test_more_auxiliary_tasks_than_concepts_are_all_concepts(tmp_path: Path) -> None:
    write_world(tmp_path)
    config = config_for(tmp_path, "train.epochs=1", "train.auxiliary={tasks: 1000, weight: 1.0}")
    run(config)
    assert load_model(Layout.of(config)).spec.architecture.settings["auxiliary"] == CONCEPTS


def test_the_last_epoch_is_kept_where_that_is_asked_for(tmp_path: Path, monkeypatch) -> None:
    from pipeline.train.validation import Quality

    values = iter([0.5, 0.9, 0.8, 0.7])  # before the first step, then after each epoch
    monkeypatch.setattr(loop, "judge", lambda *_: Quality(mean=next(values)))
    config = config_for(tmp_path, "train.epochs=3", "train.select_by=last", "train.patience=1")
    write_world(tmp_path)
    run(config)
    assert summary.read(Layout.of(config), "train")["best_epoch"] == 2


def test_all_kinds_of_task_are_learnt_and_predicted_in_their_own_units(tmp_path: Path) -> None:
    config = config_for(tmp_path, "train.epochs=8", "train.hide=0", "model.settings.linear_term=true")
    write_world(tmp_path, MIXED)
    run(config)
    loaded = load_model(Layout.of(config))
    tasks = loaded.spec.metrics["validation"]["tasks"]
    assert tasks["large"]["auc"] > 0.75
    assert tasks["colour"]["accuracy"] > 0.4
    assert tasks["spend"]["r2"] > 0.2
    assert "spend" not in loaded.spec.thresholds
    errors, spread = [], []
    with torch.no_grad():
        for _, batch in scan_batches(open_shards(Layout.of(config)), "validation", 64):
            mine = batch.pair_tasks == 3
            errors.append(loaded.model(batch)[mine, 0] - batch.labels[mine])
            spread.append(batch.labels[mine])
    r2 = 1 - torch.cat(errors).square().sum() / (torch.cat(spread) - torch.cat(spread).mean()).square().sum()
    assert float(r2) == pytest.approx(tasks["spend"]["r2"], abs=1e-3)


def test_bfloat16_learns_too_and_is_said(tmp_path: Path) -> None:
    config = config_for(tmp_path, "train.epochs=4", "train.precision=bfloat16")
    write_world(tmp_path)
    run(config)
    facts = summary.read(Layout.of(config), "train")
    assert facts["precision"] == "bfloat16"
    assert facts["validation_auc"] > 0.8
    assert all(weight.dtype == torch.float32 for weight in weights(load_model(Layout.of(config))).values())


def test_auto_precision_is_float32_on_a_cpu() -> None:
    assert choose_precision("auto", torch.device("cpu")) == torch.float32


def test_no_epoch_leaves_the_model_at_its_priors(tmp_path: Path) -> None:
    config = config_for(tmp_path, "train.epochs=0")
    write_world(tmp_path)
    run(config)
    loaded = load_model(Layout.of(config))
    assert loaded.spec.training["steps"] == 0
    manifest = open_shards(Layout.of(config)).manifest
    share = manifest.tasks[1].positives["support"] / manifest.tasks[1].pairs["support"]
    assert float(torch.sigmoid(loaded.model.towers.bias.detach()[1])) == pytest.approx(share, rel=1e-4)


def test_without_validation_rows_the_last_epoch_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = config_for(tmp_path)
    write_world(tmp_path, rows={"support": 128, "validation": 0, "query": 8})
    with caplog.at_level(logging.WARNING):
        run(config)
    assert "no validation rows" in caplog.text
    loaded = load_model(Layout.of(config))
    assert loaded.spec.training["best_epoch"] == 1
    assert 0 < loaded.spec.thresholds["large"] < 1


def test_a_loss_that_is_not_finite_stops_naming_the_task_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    config = config_for(tmp_path, "train.checkpoint_every=1", "train.auxiliary.tasks=0")
    write_world(tmp_path, spoil="rare", rows={"support": 256, "validation": 32, "query": 8})
    with pytest.raises(UserError, match=r"not a finite number, of task rare;") as failure:
        run(config)
    assert "large" not in str(failure.value)
    stopped_at = int(str(failure.value).split("at step ")[1].split()[0])
    names = sorted(path.name for path in Layout.of(config).checkpoints.iterdir())
    assert names[-1].startswith(f"step-{stopped_at:08d}")
    assert not Layout.of(config).model.exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.ranks=2", "launcher process has 1 slot"),
        ("train.lanes=3", "train.batch_size is 32, which train.lanes = 3 does not divide"),
        ("model.name=metaug", "unknown model 'metaug'"),
        ("model.settings.expert=3", "expert"),
        ("model.settings.experts=many", "experts is a int"),
        ("model.settings.experts=0", "experts is at least 1"),
        ("model.settings.auxiliary=5", "set train.auxiliary.tasks instead"),
    ],
)
def test_what_does_not_fit_is_told_before_training(tmp_path: Path, override: str, message: str) -> None:
    write_world(tmp_path)
    with pytest.raises(UserError, match=message):
        run(config_for(tmp_path, override))
    assert not (tmp_path / "train_log.jsonl").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.launcher=horovodrun", "train.ranks=4"], "4 ranks, but this machine .* has 3 slots"),
        (["train.launcher=horovodrun", "train.hosts=a:1,b:2", "train.ranks=4"], r"train.hosts \(a:1,b:2\) has 3 slots"),
        (["train.launcher=horovodrun", "train.hosts=a", "train.ranks=1"], "host:slots"),
        (["train.launcher=horovodrun", "train.ranks=3"], "which 3 ranks do not divide"),
    ],
)
def test_ranks_that_cannot_be_started_are_refused(
    tmp_path: Path, overrides: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchers, "local_slots", lambda: 3)
    write_world(tmp_path, rows_per_group=2)
    with pytest.raises(UserError, match=message):
        run(config_for(tmp_path, *overrides))


def test_fewer_row_groups_than_ranks_are_refused(tmp_path: Path) -> None:
    write_world(tmp_path, rows={"support": 64, "validation": 8, "query": 8}, rows_per_group=64)
    with pytest.raises(UserError, match="1 row groups for 2 ranks"):
        run(config_for(tmp_path, "train.launcher=horovodrun", "train.ranks=2"))


def test_no_shards_names_the_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the align stage first"):
        run(config_for(tmp_path))
