"""Online adaptation: better or the same on validation, nothing else moves, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline import adapt, summary, train
from pipeline.adapt import rows
from pipeline.adapt.rows import rows_of_tasks, take_rows
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.modelfolder import load_model
from pipeline.shards.batches import scan_batches
from pipeline.shards.dataset import open_shards
from tests.pipeline.train.worlds import BINARY, MIXED, SMALL_MODEL, write_world

TRAIN = {"epochs": 1, "batch_size": 64, "threads": 1, "auxiliary": {"tasks": 0, "weight": 0}}


@pytest.fixture
def trained(tmp_path: Path, make_config):
    """A model of one short epoch, so that there is something left to learn."""

    def make(*overrides: str, tasks=BINARY):
        write_world(tmp_path / "work", tasks, rows={"support": 512, "validation": 256, "query": 64})
        config = make_config(SMALL_MODEL, *overrides, train=TRAIN)
        train.run(config)
        return config

    return make


def scores(config, split: str = "validation") -> torch.Tensor:
    """[rows, tasks]"""
    model, shards = load_model(Layout.of(config)).model, open_shards(Layout.of(config))
    tasks = len(shards.tasks)
    with torch.no_grad():
        parts = [model(b.with_all_tasks(tasks)).view(b.rows, tasks, -1) for _, b in scan_batches(shards, split, 100)]
    return torch.cat(parts)


@pytest.mark.parametrize("members", [1, 2])
def test_the_segment_gets_better_and_no_other_moves_by_a_bit(trained, members) -> None:
    config = trained(f"model.members={members}", "adapt.segments=[rare]", "adapt.margin=0", tasks=MIXED)
    before = scores(config)
    adapt.run(config)
    after = scores(config)
    facts = summary.read(Layout.of(config), "adapt")["segments"]["rare"]
    assert facts["auc_after"] > facts["auc_before"] + 0.02
    assert (before[:, 1] != after[:, 1]).any()
    others = [0, 2, 3]
    assert torch.equal(before[:, others], after[:, others])
    assert load_model(Layout.of(config)).spec.training["adapted"] == ["rare"]


def test_what_helps_but_not_beyond_chance_is_not_kept(trained) -> None:
    config = trained("adapt.margin=50")
    before = scores(config)
    adapt.run(config)
    assert torch.equal(scores(config), before)
    adapt.run(config.model_copy(update={"adapt": config.adapt.model_copy(update={"margin": 0.0})}))
    assert not torch.equal(scores(config), before)


def test_what_does_not_help_on_validation_is_not_kept(trained) -> None:
    config = trained("adapt.learning_rates=[1e-12]", "adapt.epochs=1")
    before = scores(config)
    adapt.run(config)
    assert torch.equal(scores(config), before)
    assert all(
        of["auc_after"] == of["auc_before"] for of in summary.read(Layout.of(config), "adapt")["segments"].values()
    )


def test_twice_gives_the_same(trained) -> None:
    config = trained("adapt.segments=[large]")
    model = Layout.of(config).model
    first_version = (model / "CURRENT").read_text()
    adapt.run(config)
    once = scores(config)
    (model / "CURRENT").write_text(first_version)
    adapt.run(config)
    assert torch.equal(scores(config), once)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("adapt.segments=[rear]", "'rear' is no binary segment of the model; did you mean rare"),
        ("adapt.segments=[spend]", "'spend' is no binary segment"),
    ],
)
def test_unknown_segments_are_refused(trained, override, said) -> None:
    config = trained(override, tasks=MIXED)
    with pytest.raises(UserError, match=said):
        adapt.run(config)


def test_a_sample_keeps_positives_and_stands_for_all_rows(trained) -> None:
    shards = open_shards(Layout.of(trained()))
    whole = rows_of_tasks(shards, "support", [1], 10_000)[1]
    sample = rows_of_tasks(shards, "support", [1], 100)[1]
    positives = int((whole.batch.labels > 0).sum())
    assert sample.batch.rows == 100
    assert int((sample.batch.labels > 0).sum()) == min(positives, 50)
    assert float(sample.weights.sum()) == pytest.approx(whole.batch.rows)
    assert float(sample.weights[sample.batch.labels > 0].sum()) == pytest.approx(positives)


def test_taken_rows_are_those_rows(trained) -> None:
    batch = rows_of_tasks(open_shards(Layout.of(trained())), "support", [0], 10_000)[0].batch
    taken = take_rows(batch, torch.tensor([5, 0, 9]))
    for place, row in enumerate([5, 0, 9]):
        mine = slice(int(taken.row_offsets[place]), int(taken.row_offsets[place + 1]))
        theirs = slice(int(batch.row_offsets[row]), int(batch.row_offsets[row + 1]))
        assert torch.equal(taken.concept_ids[mine], batch.concept_ids[theirs])
        assert torch.equal(taken.concept_weights[mine], batch.concept_weights[theirs])
        assert taken.labels[place] == batch.labels[row]


def test_a_fair_sample_is_the_first_rows_as_they_come(trained) -> None:
    shards = open_shards(Layout.of(trained()))
    whole = rows_of_tasks(shards, "support", [1], 10_000)[1]
    sample = rows_of_tasks(shards, "support", [1], 100, fair=True)[1]
    assert torch.equal(sample.batch.labels, whole.batch.labels[:100])
    assert torch.equal(sample.weights, torch.ones(100))


def test_no_more_is_held_than_the_sample_may_need(trained, monkeypatch) -> None:
    """Of either class at most max_rows, however many batches the split has."""
    shards = open_shards(Layout.of(trained()))
    monkeypatch.setattr(rows, "_BATCH_ROWS", 16)
    whole = rows_of_tasks(shards, "support", [0], 10_000)[0].batch.rows
    joined, join = [], rows.concatenate
    monkeypatch.setattr(rows, "concatenate", lambda batches: joined.append(join(batches)) or joined[-1])
    sample = rows_of_tasks(shards, "support", [0], 20)[0]
    labels = joined[0].labels > 0
    assert int(labels.sum()) <= 20
    assert int((~labels).sum()) <= 20
    assert sample.batch.rows == 20
    assert float(sample.weights.sum()) == pytest.approx(whole)


def test_what_was_adapted_before_stays_in_the_list(trained) -> None:
    config = trained("adapt.segments=[rare]", "adapt.margin=0", tasks=MIXED)
    adapt.run(config)
    adapt.run(config.model_copy(update={"adapt": config.adapt.model_copy(update={"segments": ["large"]})}))
    assert load_model(Layout.of(config)).spec.training["adapted"] == ["large", "rare"]


def test_chains_and_shards_without_validation_rows_are_refused(trained, tmp_path: Path) -> None:
    config = trained()
    with pytest.raises(UserError, match="knows no chains"):
        adapt.run(config.model_copy(update={"chains": [["large", "rare"]]}))
    write_world(tmp_path / "work", BINARY, rows={"support": 512, "validation": 0, "query": 64})
    with pytest.raises(UserError, match=r"no validation rows.*align\.split"):
        adapt.run(config)
