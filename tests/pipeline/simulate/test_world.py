"""The simulated world in numpy: reproducible, with the sizes and oracle quality it was designed for."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.simulate.block import Block, generate_block
from pipeline.simulate.oracle import histogram, oracle_auc
from pipeline.simulate.world import LARGE, LATENT, MID, NICHE, SUPPORT_SHARE, World, build_world, stream

ENTITIES = 30_000


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(1, ENTITIES, 55, (20, 200))


@pytest.fixture(scope="module")
def block(world: World) -> Block:
    return generate_block(world, 3, 1024)


def test_a_block_is_the_same_every_time_and_differs_from_others(world: World, block: Block) -> None:
    again = generate_block(world, 3, 1024)
    np.testing.assert_array_equal(block.labels, again.labels)
    np.testing.assert_array_equal(block.visits[2].item, again.visits[2].item)
    assert not np.array_equal(block.latent, generate_block(world, 4, 1024).latent)


def test_entities_do_not_depend_on_how_many_there_are(block: Block) -> None:
    more = generate_block(build_world(1, 100 * ENTITIES, 55, (20, 200)), 3, 1024)
    np.testing.assert_array_equal(block.latent, more.latent)
    np.testing.assert_array_equal(block.visits[0].item, more.visits[0].item)


def test_another_seed_is_another_world(block: Block) -> None:
    other = generate_block(build_world(2, ENTITIES, 55, (20, 200)), 3, 1024)
    assert not np.array_equal(block.visits[0].item[:100], other.visits[0].item[:100])


def test_latent_vectors_are_standardised(world: World) -> None:
    latent = world.latent(stream(world.seed, 77), 20_000)
    assert latent.shape == (20_000, LATENT)
    np.testing.assert_allclose(latent.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(latent.std(axis=0), 1, atol=0.05)


def test_segments_have_the_wanted_shares(world: World) -> None:
    shares = world.segments.probabilities(world.latent(stream(world.seed, 78), 50_000)).mean(axis=0)
    np.testing.assert_allclose(shares, world.segments.prevalence, rtol=0.15)
    large, mid, niche = np.split(world.segments.prevalence, [LARGE, LARGE + MID])
    assert len(niche) == NICHE
    assert large.min() >= 0.1
    assert large.max() <= 0.3
    assert mid.min() >= 0.015
    assert mid.max() <= 0.08
    positives = niche * SUPPORT_SHARE * ENTITIES
    assert positives.min() >= 20
    assert positives.max() <= 200


def test_niche_oracle_auc_is_about_the_designed_one(world: World) -> None:
    probabilities = world.segments.probabilities(world.latent(stream(world.seed, 79), 50_000))
    labels = np.random.default_rng(0).random(probabilities.shape) < probabilities
    niche = oracle_auc(histogram(probabilities, labels))[LARGE + MID :]
    assert niche.mean() == pytest.approx(0.948, abs=0.01)


def test_oracle_auc_of_a_histogram_is_that_of_the_scores() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    probabilities = 1 / (1 + np.exp(-rng.normal(-3, 2, (4000, 2))))
    labels = rng.random(probabilities.shape) < probabilities
    halves = histogram(probabilities[:1500], labels[:1500]) + histogram(probabilities[1500:], labels[1500:])
    exact = [roc_auc_score(labels[:, k], probabilities[:, k]) for k in range(2)]
    np.testing.assert_allclose(oracle_auc(halves), exact, atol=1e-3)


def test_oracle_auc_is_unknown_with_one_class() -> None:
    assert np.isnan(oracle_auc(histogram(np.full((5, 1), 0.2), np.zeros((5, 1), dtype=bool)))).all()


def test_events_follow_taste(world: World, block: Block) -> None:
    visits, items = block.visits[0], world.domains[0]
    affinity = np.einsum("ij,ij->i", block.latent[visits.entity], items.vectors[visits.item])
    anyone = block.latent @ (items.popularity @ items.vectors)
    assert affinity.mean() > anyone.mean() + 0.5


def test_events_lie_around_the_cutoff_at_one_rate(block: Block) -> None:
    days = np.concatenate([visits.days for visits in block.visits])
    assert days.min() >= -28
    assert days.max() < 7
    assert (days >= 0).mean() == pytest.approx(7 / 35, abs=0.01)


def test_list_entries_are_of_positives_of_announced_segments_only(world: World, block: Block) -> None:
    assert not (block.audience & ~block.labels).any()
    assert not (block.partner & ~block.audience).any()
    announced = world.segments.announced
    assert announced.sum() == len(announced) / 2
    assert not block.audience[:, ~announced].any()
    assert block.audience[:, announced].sum() / block.labels[:, announced].sum() == pytest.approx(0.9, abs=0.05)
