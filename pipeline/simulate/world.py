"""The fixed part of the simulated world: latent directions, items, knowledge base, segments. Pure numpy.

Every entity has a latent vector u [LATENT]; it drives what the entity does in four domains and which
segments it belongs to, so the probabilities of the labels are known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LATENT = 8
ARCHETYPES = 24
DOMAINS = ("content", "mobile", "ads", "finance")
DOMAIN_SHARES = (2.0, 2.0, 1.5, 1.0)
"""Parameters of the Dirichlet that splits an entity's events over the domains."""
ITEMS, CATEGORIES, BRANDS = 1500, 30, 120
"""Of each domain."""
TOPICS = 80
"""Across the domains."""
FAMILIES = 8
PREFERENCE = 2.5
"""How strongly u decides which items are chosen."""
SIGNAL = 2.2
"""The standard deviation of a segment's logit over the entities."""
LARGE, MID, NICHE = 6, 14, 48
CALIBRATION = 50_000
"""Entities of the sample on which scales and intercepts are solved."""
SUPPORT_SHARE = 0.6
"""Share of the entities in the support under the default split: 2/3 of which a tenth is validation."""
_WORLD_STREAM = 2**63
_CALIBRATION_STREAM = 2**63 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """The items of one domain: vectors [ITEMS, LATENT]; popularity [ITEMS], sums to 1; category, brand [ITEMS]."""

    vectors: Floats
    popularity: Floats
    category: Ints
    brand: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """The segments: logit(u) = scale (w·u + .4 (p·u)(q·u) - centre) + intercept.

    direction [segments, LATENT]; family [segments]; left, right (p, q) [FAMILIES, LATENT];
    centre, scale, intercept, prevalence [segments]; announced [segments]: has a label concept among the events.
    """

    names: tuple[str, ...]
    direction: Floats
    family: Ints
    left: Floats
    right: Floats
    centre: Floats
    scale: Floats
    intercept: Floats
    prevalence: Floats
    announced: NDArray[np.bool_]

    def logits(self, latent: Floats) -> Floats:
        """[n, segments] from latent vectors [n, LATENT]."""
        return self.scale * (_raw_signal(self, latent) - self.centre) + self.intercept

    def probabilities(self, latent: Floats) -> Floats:
        """[n, segments]: the true probability of every label."""
        return 1.0 / (1.0 + np.exp(-self.logits(latent)))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that does not depend on an entity.

    archetypes [ARCHETYPES, LATENT]; archetype_shares [ARCHETYPES]; latent_mean, latent_std [LATENT] standardise u;
    brand_topic [domains, BRANDS]; age_direction, sex_direction [LATENT].
    """

    seed: int
    events_per_entity: float
    archetypes: Floats
    archetype_shares: Floats
    latent_mean: Floats
    latent_std: Floats
    domains: tuple[Items, ...]
    brand_topic: Ints
    age_direction: Floats
    sex_direction: Floats
    segments: Segments

    def latent(self, rng: np.random.Generator, entities: int) -> Floats:
        """[entities, LATENT]: u = .6 archetype + .8 noise, standardised."""
        kind = rng.choice(ARCHETYPES, size=entities, p=self.archetype_shares)
        raw = 0.6 * self.archetypes[kind] + 0.8 * rng.standard_normal((entities, LATENT))
        return (raw - self.latent_mean) / self.latent_std


def stream(seed: int, number: int) -> np.random.Generator:
    """The random numbers of (seed, number): independent of every other pair, reachable directly."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, number], dtype=np.uint64)))


def build_world(seed: int, entities: int, events_per_entity: float, niche_positives: tuple[int, int]) -> World:
    """The world of a seed. `entities` and `niche_positives` only decide how rare the niche segments are."""
    rng = stream(seed, _WORLD_STREAM)
    archetypes = rng.standard_normal((ARCHETYPES, LATENT))
    shares = rng.dirichlet(np.full(ARCHETYPES, 2.0))
    mean = 0.6 * shares @ archetypes
    std = np.sqrt(0.36 * (shares @ archetypes**2) - mean**2 + 0.64)
    topic_vectors = _directions(rng, TOPICS)
    brand_topic = rng.integers(TOPICS, size=(len(DOMAINS), BRANDS))
    domains = tuple(_items(rng, topic_vectors[brand_topic[index]]) for index in range(len(DOMAINS)))
    age, sex = _unit(rng.standard_normal((2, LATENT)))
    prevalence = _prevalence(rng, entities, niche_positives)
    world = World(
        seed=seed,
        events_per_entity=events_per_entity,
        archetypes=archetypes,
        archetype_shares=shares,
        latent_mean=mean,
        latent_std=std,
        domains=domains,
        brand_topic=brand_topic,
        age_direction=age,
        sex_direction=sex,
        segments=_segments(rng, prevalence),
    )
    return _calibrated(world)


def _items(rng: np.random.Generator, topic_of_brand: Floats) -> Items:
    """Items are made of their category, their brand, the brand's topic, and noise, on 5/8 of the dimensions."""
    category = rng.integers(CATEGORIES, size=ITEMS)
    brand = rng.integers(BRANDS, size=ITEMS)
    brand_vectors = 0.7 * _directions(rng, BRANDS) + 0.7 * topic_of_brand
    vectors = (
        0.7 * _directions(rng, CATEGORIES)[category] + 0.45 * brand_vectors[brand] + 0.55 * _directions(rng, ITEMS)
    )
    seen = np.zeros(LATENT)
    seen[rng.permutation(LATENT)[: LATENT * 5 // 8]] = 1.0
    popularity = 1.0 / (rng.permutation(ITEMS) + 10.0)
    return Items(vectors=vectors * seen, popularity=popularity / popularity.sum(), category=category, brand=brand)


def _segments(rng: np.random.Generator, prevalence: Floats) -> Segments:
    count = len(prevalence)
    family = rng.integers(FAMILIES, size=count)
    family_direction = _unit(rng.standard_normal((FAMILIES, LATENT)))
    own_direction = _unit(rng.standard_normal((count, LATENT)))
    names = [
        f"{size}_{number:02d}"
        for size, n in (("large", LARGE), ("mid", MID), ("niche", NICHE))
        for number in range(1, n + 1)
    ]
    return Segments(
        names=tuple(names),
        direction=0.9 * family_direction[family] + np.sqrt(1 - 0.81) * own_direction,
        family=family,
        left=_unit(rng.standard_normal((FAMILIES, LATENT))),
        right=_unit(rng.standard_normal((FAMILIES, LATENT))),
        centre=np.zeros(count),
        scale=np.ones(count),
        intercept=np.zeros(count),
        prevalence=prevalence,
        announced=np.arange(count) % 2 == 0,
    )


def _prevalence(rng: np.random.Generator, entities: int, niche_positives: tuple[int, int]) -> Floats:
    """Wanted shares of positives: large 10-30 %, mid 1.5-8 %, niche by positives in the support, log-uniform."""
    low, high = (count / (SUPPORT_SHARE * entities) for count in niche_positives)
    large = rng.uniform(0.10, 0.30, LARGE)
    mid = np.exp(rng.uniform(np.log(0.015), np.log(0.08), MID))
    niche = np.exp(rng.uniform(np.log(low * 1.2), np.log(high * 0.9), NICHE))
    return np.minimum(np.concatenate([large, mid, niche]), 0.5)


def _calibrated(world: World) -> World:
    """The same world with the scale, centre and intercept of each segment solved on a sample of entities."""
    latent = world.latent(stream(world.seed, _CALIBRATION_STREAM), CALIBRATION)
    raw = _raw_signal(world.segments, latent)
    centre, scale = raw.mean(axis=0), SIGNAL / raw.std(axis=0)
    intercept = _solve_intercepts(scale * (raw - centre), world.segments.prevalence)
    return replace(world, segments=replace(world.segments, centre=centre, scale=scale, intercept=intercept))


def _solve_intercepts(signal: Floats, prevalence: Floats) -> Floats:
    """b with mean(sigmoid(signal + b)) = prevalence, each column by bisection."""
    low, high = np.full(len(prevalence), -40.0), np.full(len(prevalence), 20.0)
    for _ in range(50):
        middle = (low + high) / 2
        above = (1.0 / (1.0 + np.exp(-(signal + middle)))).mean(axis=0) > prevalence
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2


def _raw_signal(segments: Segments, latent: Floats) -> Floats:
    shared = (latent @ segments.left.T) * (latent @ segments.right.T)
    return latent @ segments.direction.T + 0.4 * shared[:, segments.family]


def _directions(rng: np.random.Generator, count: int) -> Floats:
    """[count, LATENT] normal vectors of expected norm 1."""
    return rng.standard_normal((count, LATENT)) / np.sqrt(LATENT)


def _unit(vectors: Floats) -> Floats:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
