"""Entire and local space: which pairs of chains are trained on, and how they are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.batch import Batch
from models.losses import pair_losses
from pipeline.config import Config, load_config
from pipeline.errors import UserError
from pipeline.shards.batches import concatenate, scan_batches
from pipeline.shards.codec import Rows
from pipeline.shards.dataset import ShardSet, open_folder
from pipeline.shards.writer import TaskSpec, write_shards
from pipeline.train.build import model_settings, start_model
from pipeline.train.checkpoint import fingerprint
from pipeline.train.context import Context
from pipeline.train.distribution import World
from pipeline.train.objective import Objective
from pipeline.train.space import TrainingSpace
from pipeline.train.start import label_statistics
from pipeline.train.steps import steps_of_epoch
from tests.pipeline.train.worlds import BINARY, MIXED, write_world

CHAIN = "chains=[[click, conversion]]"
ESMM = ("model.name=esmm", "train.auxiliary.tasks=0", CHAIN)
CLICKS = 10
CONVERSIONS = 4


def funnel(workdir: Path, local: bool) -> ShardSet:
    """40 rows, 10 of them clicked, 4 of those converted; local: a conversion is known of clicked rows only."""
    count, rng = 40, np.random.default_rng(0)
    tasks, labels = [], []
    for row in range(count):
        click = row < CLICKS
        tasks.append([0, 1] if click or not local else [0])
        labels.append([float(click), float(row < CONVERSIONS)][: len(tasks[-1])])
    rows = Rows(
        concept_ids=rng.integers(0, 6, count).astype(np.int32),
        concept_weights=np.ones(count, np.float32),
        concept_offsets=np.arange(count + 1),
        task_ids=np.concatenate(tasks).astype(np.int32),
        labels=np.concatenate(labels).astype(np.float32),
        pair_offsets=np.cumsum([0, *map(len, tasks)]),
    )
    splits = {split: ([f"{split}{i}" for i in range(count)], rows) for split in ("support", "validation", "query")}
    specs = (TaskSpec(name="click"), TaskSpec(name="conversion"))
    return open_folder(
        write_shards(workdir / "shards", specs, [f"s.f={i}" for i in range(6)], splits, rows_per_group=8)
    )


def support_of(shards: ShardSet) -> Batch:
    return concatenate([batch for _, batch in scan_batches(shards, "support", 64)])


def config_of(workdir: Path, *overrides: str) -> Config:
    settings = ("model.settings={embedding_dim: 6}", "train.lanes=1", "train.batch_size=40", "train.hide=0")
    return load_config([], [f"run.workdir={workdir}", *settings, *overrides])


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize(("space", "pairs"), [("entire", 40), ("local", CLICKS)])
def test_both_spaces_are_the_same_whichever_the_shards_hold(
    tmp_path: Path, space: str, pairs: int, local: bool
) -> None:
    shards = funnel(tmp_path, local)
    training = TrainingSpace(config_of(tmp_path, CHAIN, f"train.space={space}"), shards)
    batch = support_of(shards)
    found = training(batch)
    mine = found.pair_tasks == 1
    assert (int(mine.sum()), int(found.labels[mine].sum())) == (pairs, CONVERSIONS)
    assert int((found.pair_tasks == 0).sum()) == 40
    assert training.pairs == [40, pairs]


def test_without_chains_a_batch_stays_as_it_is(tmp_path: Path) -> None:
    shards = funnel(tmp_path, local=True)
    training = TrainingSpace(config_of(tmp_path), shards)
    batch = support_of(shards)
    assert training(batch) is batch
    assert training.pairs == [40, CLICKS]


def test_the_loss_holds_the_models_own_terms_over_all_pairs_of_the_space(tmp_path: Path) -> None:
    shards = funnel(tmp_path, local=True)
    config = config_of(tmp_path, *ESMM, "model.name=escm2", "train.task_weighting=none")
    context = Context.of(config, shards, World())
    statistics = label_statistics(shards, TrainingSpace(config, shards).pairs)
    torch.testing.assert_close(statistics.priors, torch.tensor([CLICKS / 40, CONVERSIONS / 40]))
    model, objective = start_model(context, statistics), Objective(context, statistics)
    (step,) = steps_of_epoch(shards, config.train, World(), 0)
    examples = objective.examples(step.visible)
    assert examples.pairs == 80
    loss = objective(model, examples, step.hidden, with_auxiliary=False)
    logits = model(examples)
    expected = pair_losses(logits, examples, shards.tasks).sum() + model.extra_loss(examples, logits)
    torch.testing.assert_close(loss.total, expected / 80)
    torch.testing.assert_close(loss.segments, loss.total.detach())
    assert float(model.extra_loss(examples, logits).detach()) > 0


def test_a_chain_of_an_unknown_task_is_refused_with_the_nearest(tmp_path: Path) -> None:
    shards = funnel(tmp_path, local=False)
    with pytest.raises(UserError, match=r"'convresion' is no task of the shards .* nearest is 'conversion'"):
        TrainingSpace(config_of(tmp_path, "chains=[[click, convresion]]"), shards)


def test_a_chain_of_a_task_that_is_not_binary_is_refused(tmp_path: Path) -> None:
    shards = open_folder(write_world(tmp_path, MIXED))
    with pytest.raises(UserError, match="chains: task spend is regression"):
        TrainingSpace(config_of(tmp_path, "chains=[[large, spend]]"), shards)


def test_a_model_of_chains_without_any_says_what_to_set(tmp_path: Path) -> None:
    shards = open_folder(write_world(tmp_path, BINARY))
    config = config_of(tmp_path, *ESMM, "chains=[]")
    context = Context.of(config, shards, World())
    with pytest.raises(UserError, match=r"ESMM predicts chains of tasks: set chains, such as"):
        start_model(context, label_statistics(shards, TrainingSpace(config, shards).pairs))


def test_chains_are_set_at_the_top_and_given_to_models_as_task_ids(tmp_path: Path) -> None:
    shards = funnel(tmp_path, local=False)
    assert model_settings(config_of(tmp_path, *ESMM), shards)["chains"] == [[0, 1]]
    with pytest.raises(UserError, match=r"model\.settings\.chains: set chains instead"):
        model_settings(config_of(tmp_path, *ESMM, "model.settings={chains: [[0, 1]]}"), shards)


def test_another_chain_or_space_is_another_run(tmp_path: Path) -> None:
    names = [fingerprint(config_of(tmp_path, *more), {}) for more in ((), (CHAIN,), (CHAIN, "train.space=local"))]
    assert len(set(names)) == 3
