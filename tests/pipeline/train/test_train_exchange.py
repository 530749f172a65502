"""Semi-synchronous training: parameters averaged now and then; H = 1 is what it was."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.shards.dataset import open_shards
from pipeline.train import loop as loop_module
from pipeline.train.build import start_model
from pipeline.train.checkpoint import fingerprint
from pipeline.train.context import Context
from pipeline.train.distribution import World
from pipeline.train.exchange import PeriodicExchange
from pipeline.train.gradients import Gradients
from pipeline.train.loop import Loop
from pipeline.train.objective import Objective
from pipeline.train.space import TrainingSpace
from pipeline.train.start import LabelStatistics, label_statistics
from tests.pipeline.train.threads import on_ranks
from tests.pipeline.train.worlds import config_for, write_world

SETTINGS = ("train.lanes=2", "train.sparse_embeddings=always", "model.settings.linear_term=true", "train.hide=0.3")


def trained(config: Config, ranks: int = 1) -> list[dict[str, Tensor]]:
    """The parameters of each rank after training, without a model folder."""
    shards = open_shards(Layout.of(config), checksums=False)
    statistics = label_statistics(shards, TrainingSpace(config, shards).pairs)
    # Once, and not by each rank: threads share Torch's random numbers.
    start = start_model(Context.of(config, shards, World()), statistics)
    return on_ranks(ranks, lambda world: _rank(Context.of(config, shards, world), statistics, copy.deepcopy(start)))


def _rank(context: Context, statistics: LabelStatistics, model: nn.Module) -> dict[str, Tensor]:
    Loop(model, Objective(context, statistics), context, "test").run()
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def losses(config: Config) -> list[float]:
    lines = [json.loads(line) for line in Layout.of(config).train_log.read_text().splitlines()]
    return [line["train_loss"] for line in lines if line["kind"] == "epoch"]


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    write_world(tmp_path)
    return tmp_path


def test_alone_nothing_depends_on_how_often_ranks_would_agree(workdir: Path) -> None:
    often, seldom = (trained(config_for(workdir, *SETTINGS, f"train.sync_every={h}"))[0] for h in (1, 4))
    for name, parameter in often.items():
        assert torch.equal(parameter, seldom[name]), name


def test_two_ranks_that_agree_at_every_step_are_one_process(workdir: Path) -> None:
    config = config_for(workdir, *SETTINGS)
    (alone,) = trained(config)
    for rank in trained(config, 2):
        for name, parameter in rank.items():
            if name != "linear.weight":  # masked entries: rounding that Adam magnifies
                torch.testing.assert_close(parameter, alone[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("every", [3, 4])
def test_two_ranks_end_with_equal_weights_and_a_lower_loss(workdir: Path, every: int) -> None:
    config = config_for(workdir, *SETTINGS, f"train.sync_every={every}", "train.epochs=4")
    one, two = trained(config, 2)
    for name, parameter in one.items():
        assert torch.equal(parameter, two[name]), name
        assert torch.isfinite(parameter).all(), name
    seen = losses(config)
    assert seen[-1] < seen[0]


def test_parameters_become_the_mean_of_the_ranks() -> None:
    def of(world: World) -> tuple[list[Tensor], list[Tensor], list[float]]:
        torch.set_num_threads(1)
        dense, table = nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.ones(5, 2))
        exchange = PeriodicExchange(Gradients([dense], [table], 2), world, 2, [dense], [table])
        start = [dense.detach().clone(), table.detach().clone()]
        for _ in range(2):
            rows = torch.tensor([[world.rank, 3]])
            with torch.no_grad():
                dense += 1 + world.rank
                table[rows[0]] += 10 * (1 + world.rank)
            table.grad = torch.sparse_coo_tensor(rows, torch.ones(2, 2), (5, 2)).coalesce()
            exchange.note([1.0 + world.rank, 0.5])
        own = [dense.detach().clone(), table.detach().clone()]
        told = exchange.synchronise()
        assert torch.equal(table.detach()[4], start[1][4])
        return own, [dense.detach(), table.detach()], told

    (own_a, mean_a, told_a), (own_b, mean_b, told_b) = on_ranks(2, of)
    for a, b, one, other in zip(own_a, own_b, mean_a, mean_b, strict=True):
        torch.testing.assert_close(one, (a + b) / 2)
        assert torch.equal(one, other)
    assert told_a == told_b == [3.0, 1.0]  # sums over ranks, means over steps


def test_checkpoints_stand_where_ranks_agree(workdir: Path, monkeypatch) -> None:
    steps = []
    monkeypatch.setattr(loop_module, "write_checkpoint", lambda root, progress, parts: steps.append(progress.step))
    config = config_for(workdir, *SETTINGS, "train.sync_every=4", "train.checkpoint_every=3")
    trained(config, 2)
    assert steps == [4, 8, 12, 16]


def test_a_loss_that_is_not_finite_stops_all_ranks(tmp_path: Path) -> None:
    write_world(tmp_path, spoil="rare")
    config = config_for(tmp_path, *SETTINGS, "train.sync_every=4")
    with pytest.raises(UserError, match=r"not a finite number, of task rare;"):
        trained(config, 2)


def test_how_many_ranks_matters_to_a_run_where_they_step_by_themselves() -> None:
    for every, same in ((1, True), (4, False)):
        config = config_for(Path("x"), f"train.sync_every={every}")
        assert (fingerprint(config, {}, 1) == fingerprint(config, {}, 2)) is same
