"""Seeds of one configuration: data once, finished seeds never again, nothing left of another configuration."""

from __future__ import annotations

import pytest

from pipeline import experiment, runs, summary
from pipeline.errors import UserError
from pipeline.layout import Layout


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """Stages that only leave what the experiment looks at, and note that they ran."""
    ran: list[str] = []

    def data(name: str):
        def stage(config) -> None:
            ran.append(name)
            shards = Layout.of(config).shards
            shards.mkdir(parents=True, exist_ok=True)
            (shards / "CURRENT").write_text("one\n")

        return stage

    def train(config) -> None:
        layout = Layout.of(config)
        assert (layout.shards / "CURRENT").read_text() == "one\n"
        assert not layout.model.exists()
        layout.model.mkdir()
        ran.append(f"train {config.train.seed}")

    def evaluate(config) -> None:
        segment = {"name": "a", "group": "niche", "auc": 0.9, "references": {"oracle": 0.95}}
        summary.write(Layout.of(config), "evaluate", {"segments": [segment]})
        ran.append(f"evaluate {config.train.seed}")

    for name in ("unfold", "align"):
        monkeypatch.setattr(getattr(runs, name), "run", data(name))
    monkeypatch.setattr(runs.train, "run", train)
    monkeypatch.setattr(runs.evaluate, "run", evaluate)
    return ran


def test_data_once_and_each_seed_once(make_config, calls) -> None:
    config = make_config()
    text = experiment.run(config, [0, 1])
    assert "| niche | 1 | 0.9000 ± 0.0000 |" in text
    assert calls == ["unfold", "align", "train 0", "evaluate 0", "train 1", "evaluate 1"]
    experiment.run(config, [0, 1, 2])
    assert calls[6:] == ["train 2", "evaluate 2"]


def test_a_changed_learning_setting_runs_the_seeds_again_but_not_the_data(make_config, calls) -> None:
    experiment.run(make_config(), [0])
    experiment.run(make_config("train.epochs=3"), [0])
    assert calls == ["unfold", "align", "train 0", "evaluate 0", "train 0", "evaluate 0"]


def test_soft_targets_are_made_before_training_and_shared_by_the_seeds(make_config, calls, monkeypatch) -> None:
    def teach(config) -> None:
        folder = Layout.of(config).taught
        calls.append("taught already" if (folder / "CURRENT").exists() else "teach")
        (folder / "CURRENT").write_text("one\n")

    monkeypatch.setattr(runs.teach, "run", teach)
    experiment.run(make_config("train.targets=soft"), [0, 1])
    assert calls == [
        *("unfold", "align", "teach", "train 0", "evaluate 0"),
        *("taught already", "train 1", "evaluate 1"),
    ]
    del calls[:]
    experiment.run(make_config("train.targets=soft", "teach.weight=0.5"), [0])
    assert calls[1:] == ["train 0", "evaluate 0"]  # not the data
    del calls[:]
    experiment.run(make_config(), [0])
    assert calls == ["train 0", "evaluate 0"]


def test_a_changed_data_setting_runs_everything_again(make_config, calls) -> None:
    experiment.run(make_config(), [0])
    experiment.run(make_config("unfold.horizon_days=3"), [0])
    assert calls[4:] == ["unfold", "align", "train 0", "evaluate 0"]


def test_no_seeds_is_refused(make_config, calls) -> None:
    with pytest.raises(UserError, match="no seeds"):
        experiment.run(make_config(), [])


def test_a_seed_given_twice_is_one(make_config, calls) -> None:
    assert experiment.run(make_config(), [0, 0]) == experiment.run(make_config(), [0])
