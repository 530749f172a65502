"""The rows of each step, and the loss on them, do not depend on the number of ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.batch import Batch
from models.losses import pair_losses
from pipeline.config import Config
from pipeline.shards.batches import concatenate
from pipeline.shards.dataset import ShardSet, open_folder
from pipeline.train.build import start_model
from pipeline.train.context import Context
from pipeline.train.distribution import World
from pipeline.train.objective import Objective, task_weights
from pipeline.train.space import TrainingSpace
from pipeline.train.start import concept_embeddings
from pipeline.train.steps import Step, seed_of, steps_of_epoch, steps_per_epoch
from tests.pipeline.train.worlds import MIXED, config_for, statistics_of, write_world


class RankOf(World):
    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def steps_of(config: Config, folder: Path, size: int, start_step: int = 0) -> list[list[Step]]:
    """[rank][step]"""
    shards = open_folder(folder)
    return [
        list(steps_of_epoch(shards, config.train, RankOf(rank, size), epoch=1, start_step=start_step))
        for rank in range(size)
    ]


def by_row(batches: list[Batch]) -> list[tuple[list[float], ...]]:
    """Each row's concepts, weights, tasks and labels, sorted."""
    whole = concatenate(batches)
    rows = []
    for row in range(whole.rows):
        entries = slice(int(whole.row_offsets[row]), int(whole.row_offsets[row + 1]))
        pairs = whole.pair_rows == row
        parts = (whole.concept_ids[entries], whole.concept_weights[entries])
        rows.append(tuple(part.tolist() for part in (*parts, whole.pair_tasks[pairs], whole.labels[pairs])))
    return sorted(rows)


def test_what_is_read_and_hidden_does_not_depend_on_the_number_of_ranks(tmp_path: Path) -> None:
    config = config_for(tmp_path, "train.hide=0.6")
    folder = write_world(tmp_path)
    (alone,), two, four = (steps_of(config, folder, size) for size in (1, 2, 4))
    assert len(alone) == 8
    for number, step in enumerate(alone):
        expected = by_row([step.visible])
        for ranks in (two, four):
            parts = [rank[number] for rank in ranks]
            assert by_row([part.visible for part in parts]) == expected
            hidden = sorted(concept for part in parts for concept in part.hidden.concept_ids.tolist())
            assert hidden == sorted(step.hidden.concept_ids.tolist())


def test_every_rank_takes_the_steps_that_the_manifest_says(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    folder = write_world(tmp_path, rows={"support": 203, "validation": 8, "query": 8})
    expected = steps_per_epoch(open_folder(folder), config.train, world=4)
    assert [len(steps) for steps in steps_of(config, folder, 4)] == [expected] * 4


def test_steps_from_the_middle_are_those_of_the_whole_epoch(tmp_path: Path) -> None:
    config = config_for(tmp_path, "train.hide=0.5")
    folder = write_world(tmp_path)
    (whole,), (rest,) = steps_of(config, folder, 1), steps_of(config, folder, 1, start_step=5)
    assert [step.number for step in rest] == [5, 6, 7]
    for one, other in zip(whole[5:], rest, strict=True):
        assert by_row([one.visible]) == by_row([other.visible])
        assert torch.equal(one.hidden.concept_ids, other.hidden.concept_ids)


def test_hidden_rows_point_at_the_rows_they_came_from(tmp_path: Path) -> None:
    config, plain = config_for(tmp_path, "train.hide=0.6"), config_for(tmp_path, "train.hide=0.0")
    folder = write_world(tmp_path)
    (hidden,), (whole,) = steps_of(config, folder, 1), steps_of(plain, folder, 1)
    for one, other in zip(hidden, whole, strict=True):
        size = 1000
        seen = one.visible.row_of_entry() * size + one.visible.concept_ids
        taken = one.hidden.rows * size + one.hidden.concept_ids
        everything = other.visible.row_of_entry() * size + other.visible.concept_ids
        assert torch.equal(torch.cat([seen, taken]).sort().values, everything.sort().values)


def weights_of(config: Config, shards: ShardSet) -> torch.Tensor:
    return task_weights(shards, config.train, TrainingSpace(config, shards).pairs)


def test_losses_and_gradients_of_ranks_add_up_to_those_of_one_process(tmp_path: Path) -> None:
    config = config_for(tmp_path, "train.hide=0.4", "train.auxiliary.weight=0.5")
    folder = write_world(tmp_path, MIXED)
    context = Context.of(config, open_folder(folder), World())
    statistics = statistics_of(context.config, context.shards)
    model = start_model(context, statistics)
    objective = Objective(context, statistics)

    def of(steps: list[Step]) -> tuple[float, list[torch.Tensor]]:
        model.zero_grad()
        total = 0.0
        for step in steps:
            loss = objective(model, objective.standardised(step.visible), step.hidden, with_auxiliary=True)
            loss.total.backward()
            total += float(loss.total.detach())
        return total, [parameter.grad.clone() for parameter in model.parameters()]

    (alone,), two = steps_of(config, folder, 1), steps_of(config, folder, 2)
    loss, gradients = of([alone[3]])
    summed_loss, summed = of([rank[3] for rank in two])
    assert summed_loss == pytest.approx(loss, rel=1e-5)
    for one, other in zip(summed, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_the_loss_is_the_weighted_mean_over_expected_pairs(tmp_path: Path) -> None:
    config = config_for(tmp_path, "train.hide=0.0", "train.auxiliary.weight=0")
    folder = write_world(tmp_path)
    context = Context.of(config, open_folder(folder), World())
    statistics = statistics_of(context.config, context.shards)
    model = start_model(context, statistics)
    step = steps_of(config, folder, 1)[0][0]
    loss = Objective(context, statistics)(model, step.visible, step.hidden, with_auxiliary=False)
    support = context.shards.manifest.splits["support"]
    weights = weights_of(config, context.shards)[step.visible.pair_tasks]
    losses = pair_losses(model(step.visible), step.visible, context.shards.tasks)
    expected = (weights * losses).sum() / (support.pairs / support.rows * 32)
    torch.testing.assert_close(loss.total, expected)
    assert float(loss.auxiliary) == 0


def test_rare_tasks_weigh_more_and_can_be_told_not_to(tmp_path: Path) -> None:
    shards = open_folder(write_world(tmp_path, MIXED))
    large, rare, colour, _ = weights_of(config_for(tmp_path), shards).tolist()
    assert rare > large
    assert large == pytest.approx(colour, rel=0.05)  # half positives, near enough
    assert weights_of(config_for(tmp_path, "train.task_weighting=none"), shards).tolist() == [1, 1, 1, 1]


def test_seeds_differ_by_every_part_and_stay_the_same() -> None:
    seeds = [seed_of(*parts) for parts in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]]
    assert len(set(seeds)) == 5
    assert seed_of(3, 1, 4, 1) == seed_of(3, 1, 4, 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_label_statistics_standardise_regression_and_count_classes(tmp_path: Path) -> None:
    shards = open_folder(write_world(tmp_path, MIXED))
    statistics = statistics_of(config_for(tmp_path), shards)
    assert statistics.priors.shape == (1 + 1 + 3 + 1,)
    assert float(statistics.priors[2:5].sum()) == pytest.approx(1)
    assert statistics.shift[3] == pytest.approx(1000, abs=60)
    assert statistics.scale[3] == pytest.approx(250, rel=0.25)
    assert statistics.shift[:3].tolist() == [0, 0, 0]
    assert statistics.scale[:3].tolist() == [1, 1, 1]


def test_concept_embeddings_start_from_which_concepts_stand_together(tmp_path: Path) -> None:
    """Concepts 10 and 19 are liked by opposite tastes: their embeddings point apart, those of neighbours together."""
    shards = open_folder(write_world(tmp_path, rows={"support": 512, "validation": 8, "query": 8}))
    first = concept_embeddings(shards, dim=4, seed=0, scale=0.15)[10:20, 0]
    assert torch.equal(first, concept_embeddings(shards, dim=4, seed=0, scale=0.15)[10:20, 0])
    assert (first[:3].sign() == -first[-3:].sign()).all()


@pytest.mark.parametrize("start", ["random", "correspondence"])
def test_embeddings_start_as_configured(tmp_path: Path, start: str) -> None:
    context = Context.of(
        config_for(tmp_path, f"train.embedding_start={start}"), open_folder(write_world(tmp_path)), World()
    )
    table = start_model(context, statistics_of(context.config, context.shards)).embedding.weight.detach()
    expected = concept_embeddings(context.shards, dim=8, seed=0, scale=0.15)
    assert torch.equal(table, expected) == (start == "correspondence")


def test_embedding_and_field_scales_are_as_configured(tmp_path: Path) -> None:
    shards = open_folder(write_world(tmp_path))

    def table(*overrides: str) -> Tensor:
        context = Context.of(config_for(tmp_path, "train.embedding_start=correspondence", *overrides), shards, World())
        return start_model(context, statistics_of(config_for(tmp_path), shards)).embedding.weight.detach()

    scaled = table("train.embedding_scale=0.6")
    assert torch.allclose(scaled, 4 * table(), atol=1e-5)
    shifts = table("train.embedding_scale=0.6", "train.field_scale=0.5") - scaled
    for field in shards.fields().unique():
        mine = shifts[shards.fields() == field]
        assert torch.allclose(mine, mine[:1].expand_as(mine), atol=1e-5)
        assert mine.abs().max() > 0.1
