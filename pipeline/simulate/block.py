"""The entities of one block: what they do, what they are, and their true probabilities. Pure numpy.

The random numbers of a block depend on (seed, block number) alone, so the same entities come out whatever
the number of entities, partitions or machines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.simulate.world import DOMAIN_SHARES, DOMAINS, PREFERENCE, Floats, Ints, Items, World, stream

AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
SEXES = ("f", "m")
REGIONS = 20
BEFORE_DAYS, AFTER_DAYS = 28.0, 7.0
"""Events fall in [cutoff - 28 d, cutoff + 7 d)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visits:
    """Events of one domain, by entity, in time: entity [events] (row of the block), item [events],
    days [events] from the cutoff (negative: before), amount [events] (the domain's number), flavour [events]
    (32 random bits for whatever else an event carries)."""

    entity: Ints
    item: Ints
    days: Floats
    amount: Floats
    flavour: NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Entities first .. first + n - 1.

    latent [n, LATENT]; probabilities [n, segments]; labels [n, segments]; age, sex, region [n], -1 where missing;
    audience [n, segments]: the label's own concept is among the events; partner: so is its deterministic relative.
    """

    first: int
    latent: Floats
    probabilities: Floats
    labels: NDArray[np.bool_]
    audience: NDArray[np.bool_]
    partner: NDArray[np.bool_]
    age: Ints
    sex: Ints
    region: Ints
    visits: tuple[Visits, ...]

    @property
    def entities(self) -> int:
        return len(self.latent)


def generate_block(world: World, number: int, size: int) -> Block:
    """Block `number` of `size` entities."""
    rng = stream(world.seed, number)
    latent = world.latent(rng, size)
    probabilities = world.segments.probabilities(latent)
    labels = rng.random(probabilities.shape) < probabilities
    audience = labels & world.segments.announced & (rng.random(labels.shape) < 0.9)
    partner = audience & (rng.random(labels.shape) < 0.8)
    activity = rng.lognormal(np.log(world.events_per_entity) - 0.08, 0.4, size)
    shares = rng.dirichlet(DOMAIN_SHARES, size)
    return Block(
        first=number * size,
        latent=latent,
        probabilities=probabilities,
        labels=labels,
        audience=audience,
        partner=partner,
        age=_age(rng, latent @ world.age_direction),
        sex=_sex(rng, latent @ world.sex_direction),
        region=rng.integers(REGIONS, size=size),
        visits=tuple(
            _visits(rng, items, latent, activity * shares[:, index]) for index, items in enumerate(world.domains)
        ),
    )


def _visits(rng: np.random.Generator, items: Items, latent: Floats, expected: Floats) -> Visits:
    """Events before and after the cutoff at the same daily rate."""
    before = rng.poisson(expected)
    after = rng.poisson(expected * AFTER_DAYS / BEFORE_DAYS)
    counts = before + after
    entity = np.repeat(np.arange(len(latent)), counts)
    position = np.arange(len(entity)) - np.repeat(np.cumsum(counts) - counts, counts)
    early = position < np.repeat(before, counts)
    uniform = rng.random(len(entity))
    days = np.where(early, (uniform - 1.0) * BEFORE_DAYS, uniform * AFTER_DAYS)
    order = np.lexsort((days, entity))
    item = _choose(rng, items, latent, entity)
    affinity = np.einsum("ij,ij->i", latent[entity], items.vectors[item])
    amount = np.exp(3.0 + 0.3 * affinity + rng.standard_normal(len(entity)))
    flavour = rng.integers(2**32, size=len(entity), dtype=np.uint32)
    return Visits(entity=entity, item=item, days=days[order], amount=amount, flavour=flavour)


def _choose(rng: np.random.Generator, items: Items, latent: Floats, entity: Ints) -> Ints:
    """An item an event: P(item | u) = .9 softmax(log popularity + PREFERENCE u·v) + .1 popularity."""
    logits = np.log(items.popularity) + PREFERENCE * latent @ items.vectors.T
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances = 0.9 * chances / chances.sum(axis=1, keepdims=True) + 0.1 * items.popularity
    cumulative = np.cumsum(chances, axis=1)
    cumulative /= cumulative[:, -1:]
    cumulative += np.arange(len(latent))[:, None]
    width = len(items.popularity)
    found = np.searchsorted(cumulative.ravel(), entity + rng.random(len(entity)), side="right")
    return np.clip(found - entity * width, 0, width - 1)


def _age(rng: np.random.Generator, lean: Floats) -> Ints:
    """An age band that follows u; missing for 3 %."""
    score = 0.8 * lean + 0.6 * rng.standard_normal(len(lean))
    band = np.digitize(score, [-1.1, -0.5, 0.0, 0.5, 1.1])
    return np.where(rng.random(len(lean)) < 0.03, -1, band)


def _sex(rng: np.random.Generator, lean: Floats) -> Ints:
    """0 or 1, leaning on u; missing for 3 %."""
    sex = (rng.random(len(lean)) < 1.0 / (1.0 + np.exp(-1.5 * lean))).astype(np.int64)
    return np.where(rng.random(len(lean)) < 0.03, -1, sex)


assert len(DOMAINS) == len(DOMAIN_SHARES)
