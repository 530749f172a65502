"""A funnel with nothing hidden from us: impressions, clicks, conversions after clicks, and the true probabilities.

    P(click) = sigmoid(a + fit(u, v) + appeal_i + activity_u - position)
    P(conversion | click) = sigmoid(c + bias (fit(u, v) + activity_u) + need(u, v) + worth_i - price_i thrift_u)

Users who click are those who would convert: a conversion rate learnt from clicks alone is too high elsewhere (`bias`).
Appeal and worth of an item are against each other (clickbait), and the position moves clicks alone. Pure numpy; what an
impression is depends on the seed and its block's number alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.config.learning import Funnel
from pipeline.simulate.world import Floats, Ints, stream

LATENT, ARCHETYPES, CATEGORIES, BRANDS, POSITIONS, REGIONS = 4, 16, 20, 40, 8, 12
INTERESTS = 3
_CALIBRATION = 20_000
_WORLD_STREAM, _CALIBRATION_STREAM = 2**63, 2**63 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelWorld:
    """users, items [n, LATENT] and what is fixed of each; intercepts of clicks and conversions.

    turn [LATENT, LATENT]: what a user needs is his taste turned. interests [users, INTERESTS]: categories that suit
    him, not always the best ones. price [items] in 0..4.
    """

    settings: Funnel
    users: Floats
    items: Floats
    turn: Floats
    activity: Floats
    thrift: Floats
    age: Ints
    region: Ints
    interests: Ints
    category: Ints
    brand: Ints
    price: Ints
    appeal: Floats
    worth: Floats
    popularity: Floats
    intercepts: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Impressions:
    """[n] each. propensity: P(click); if_clicked: P(conversion | click), of every impression, clicked or not."""

    first: int
    user: Ints
    item: Ints
    position: Ints
    hour: Ints
    propensity: Floats
    if_clicked: Floats
    clicked: NDArray[np.bool_]
    converted: NDArray[np.bool_]


def build_funnel(settings: Funnel) -> FunnelWorld:
    """The users and items, and intercepts that give the rates asked for."""
    rng = stream(settings.seed, _WORLD_STREAM)
    categories, brands = rng.standard_normal((CATEGORIES, LATENT)), rng.standard_normal((BRANDS, LATENT))
    category, brand = rng.integers(CATEGORIES, size=settings.items), rng.integers(BRANDS, size=settings.items)
    items = 0.95 * categories[category] + 0.3 * brands[brand] + 0.2 * rng.standard_normal((settings.items, LATENT))
    archetypes = rng.standard_normal((ARCHETYPES, LATENT))
    alike = archetypes[rng.integers(ARCHETYPES, size=settings.users)]
    users = 0.95 * alike + 0.3 * rng.standard_normal((settings.users, LATENT))
    turn, _ = np.linalg.qr(rng.standard_normal((LATENT, LATENT)))
    noisy = users @ categories.T + 0.7 * rng.standard_normal((settings.users, CATEGORIES))
    appeal = rng.standard_normal(settings.items)
    popularity = np.exp(rng.standard_normal(settings.items))
    world = FunnelWorld(
        settings=settings,
        users=users,
        items=items,
        turn=turn,
        activity=rng.standard_normal(settings.users),
        thrift=rng.standard_normal(settings.users),
        age=np.digitize(users[:, 0] + 0.5 * rng.standard_normal(settings.users), [-1.2, -0.4, 0.4, 1.2]),
        region=rng.integers(REGIONS, size=settings.users),
        interests=np.argsort(-noisy, axis=1)[:, :INTERESTS],
        category=category,
        brand=brand,
        price=rng.integers(5, size=settings.items),
        appeal=appeal,
        worth=-0.4 * appeal + 0.8 * rng.standard_normal(settings.items),
        popularity=popularity / popularity.sum(),
    )
    return _calibrated(world)


def generate_impressions(world: FunnelWorld, number: int, size: int) -> Impressions:
    """Block `number` of `size` impressions."""
    rng = stream(world.settings.seed, number)
    user, item, position = _shown(world, rng, size)
    hour = rng.integers(24, size=size)
    click, conversion = _logits(world, user, item, position)
    propensity, if_clicked = _sigmoid(click + world.intercepts[0]), _sigmoid(conversion + world.intercepts[1])
    clicked = rng.random(size) < propensity
    return Impressions(
        first=number * size,
        user=user,
        item=item,
        position=position,
        hour=hour,
        propensity=propensity,
        if_clicked=if_clicked,
        clicked=clicked,
        converted=clicked & (rng.random(size) < if_clicked),
    )


def _shown(world: FunnelWorld, rng: np.random.Generator, size: int) -> tuple[Ints, Ints, Ints]:
    """Who is shown what, where: popular items more often, whoever the user is."""
    user = rng.integers(len(world.users), size=size)
    item = rng.choice(len(world.items), size=size, p=world.popularity)
    return user, item, rng.integers(POSITIONS, size=size)


def _logits(world: FunnelWorld, user: Ints, item: Ints, position: Ints) -> tuple[Floats, Floats]:
    """Without intercepts."""
    tastes, traits = world.users[user], world.items[item]
    fit = np.einsum("ij,ij->i", tastes, traits) / np.sqrt(LATENT)
    need = np.einsum("ij,ij->i", tastes @ world.turn, traits) / np.sqrt(LATENT)
    activity = world.activity[user]
    click = 1.2 * fit + 0.6 * world.appeal[item] + 0.6 * activity - 0.25 * position
    leaning = 1.0 * world.settings.bias * (1.2 * fit + 0.6 * activity)
    price = (world.price[item] - 2) / 2
    conversion = leaning + 0.8 * need + 0.7 * world.worth[item] - 0.6 * price * world.thrift[user]
    return click, conversion


def _calibrated(world: FunnelWorld) -> FunnelWorld:
    """The world with intercepts solved on a sample of impressions."""
    rng = stream(world.settings.seed, _CALIBRATION_STREAM)
    click, conversion = _logits(world, *_shown(world, rng, _CALIBRATION))
    rates = (world.settings.click_rate, world.settings.conversion_rate)
    return replace(world, intercepts=(_intercept(click, rates[0]), _intercept(conversion, rates[1])))


def _intercept(logits: Floats, rate: float) -> float:
    """By bisection: the mean probability grows with the intercept."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(logits + middle).mean() < rate else (low, middle)
    return (low + high) / 2


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))
