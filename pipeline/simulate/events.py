"""A block's entities as Arrow tables: four event sources of different shapes, profile, labels, true probabilities.

content   entity_id, event_time (timestamp), item_id, device {os, model}, tags [..], dwell_seconds
mobile    entity_id, started_at (seconds), opened [app ..], apps {app: minutes}
ads       entity_id, event_time (timestamp), action, campaign, audience, tier, partner_list
finance   entity_id, booked_at (milliseconds), merchant, channel, amount (text, some of it broken)
profile   entity_id, age_band, sex, region
labels    entity_id, segment, label (positives only)
truth     entity_id, probabilities [segments]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.simulate.block import AGE_BANDS, SEXES, Block, Visits
from pipeline.simulate.world import ITEMS, Ints, World

NAMES = ("page", "app", "campaign", "shop")
"""What an item is called in each domain."""
MICROSECONDS_A_DAY = 86_400 * 1_000_000
_SYSTEMS = ("android", "ios", "windows", None)
_MODELS = 12
_MOODS = 12
_TIERS = ("_gold", "_silver", "_bronze")
_CHANNELS = ("card", "transfer", "cash", None)
_BROKEN = ("", "n/a", "12,40 EUR", "-")
_TIME = pa.timestamp("us", tz="UTC")


def block_tables(world: World, block: Block, entities: int, cutoff: int) -> dict[str, pa.Table]:
    """The tables of a block's entities with number below `entities`. cutoff: microseconds since 1970, UTC."""
    ids = entity_ids(block.first, block.entities)
    content, mobile, ads, finance = block.visits
    tables = {
        "content": _content(world, ids, content, cutoff),
        "mobile": _mobile(ids, mobile, cutoff),
        "ads": _ads(world, ids, block, ads, cutoff),
        "finance": _finance(ids, finance, cutoff),
        "profile": _profile(ids, block),
        "labels": _labels(world, ids, block),
        "truth": _truth(ids, block),
    }
    if block.first + block.entities <= entities:
        return tables
    known = pa.array(ids[: entities - block.first])
    return {name: _only(table, known) for name, table in tables.items()}


def knowledge_base(world: World) -> pa.Table:
    """Triples head, relation, tail: item in_category category, item made_by brand, brand in_topic topic."""
    heads, relations, tails = [], [], []
    for index, (domain, items) in enumerate(zip(NAMES, world.domains, strict=True)):
        names = item_names(index)
        for relation, values in (("in_category", items.category), ("made_by", items.brand)):
            heads += list(names)
            relations += [relation] * len(names)
            tails += [f"{domain}_{relation.split('_')[1]}_{value:03d}" for value in values]
        topics = world.brand_topic[index]
        heads += [f"{domain}_by_{brand:03d}" for brand in range(len(topics))]
        relations += ["in_topic"] * len(topics)
        tails += [f"topic_{topic:02d}" for topic in topics]
    return pa.table({"head": heads, "relation": relations, "tail": tails})


def entity_ids(first: int, count: int) -> NDArray[np.object_]:
    return np.array([f"u{number:09d}" for number in range(first, first + count)], dtype=object)


def item_names(domain: int) -> NDArray[np.object_]:
    return np.array([f"{NAMES[domain]}_{item:04d}" for item in range(ITEMS)], dtype=object)


def partner_list(segment: int) -> str:
    """The concept that implies a segment without sharing its name."""
    return f"list_{(segment * 37 + 11) % 97:02d}"


def _content(world: World, ids: NDArray[np.object_], visits: Visits, cutoff: int) -> pa.Table:
    flavour = visits.flavour
    system = _pick(_SYSTEMS, flavour & 3)
    model = _pick([f"model_{n:02d}" for n in range(_MODELS)], (flavour >> 2) % _MODELS)
    genres = _pick([f"genre_{n}" for n in range(10)], world.domains[0].category[visits.item] % 10)
    moods = _pick([f"mood_{n:02d}" for n in range(_MOODS)], (flavour >> 8) % _MOODS)
    tags = pa.ListArray.from_arrays(
        pa.array(np.arange(0, 2 * len(flavour) + 1, 2), pa.int32()),
        pa.array(np.stack([genres, moods], axis=1).ravel(), pa.string()),
    )
    return pa.table(
        {
            "entity_id": pa.array(ids[visits.entity], pa.string()),
            "event_time": _timestamps(visits.days, cutoff),
            "item_id": pa.array(item_names(0)[visits.item], pa.string()),
            "device": pa.StructArray.from_arrays(
                [pa.array(system, pa.string()), pa.array(model, pa.string())], names=["os", "model"]
            ),
            "tags": tags,
            "dwell_seconds": pa.array(visits.amount),
        }
    )


def _mobile(ids: NDArray[np.object_], visits: Visits, cutoff: int) -> pa.Table:
    """Sessions of one or two apps: every other event may join the one before it."""
    count = len(visits.entity)
    join = np.zeros(count, dtype=bool)
    second = np.arange(1, count, 2)
    first = second - 1
    join[second] = (
        (visits.entity[second] == visits.entity[first])
        & ((visits.days[second] < 0) == (visits.days[first] < 0))
        & (visits.item[second] != visits.item[first])
        & (visits.flavour[second] % 2 == 0)
    )
    begins = np.flatnonzero(~join)
    offsets = pa.array(np.append(begins, count), pa.int32())
    apps = pa.array(item_names(1)[visits.item], pa.string())
    return pa.table(
        {
            "entity_id": pa.array(ids[visits.entity[begins]], pa.string()),
            "started_at": pa.array((cutoff + _microseconds(visits.days[begins])) // 1_000_000, pa.int64()),
            "opened": pa.ListArray.from_arrays(offsets, apps),
            "apps": pa.MapArray.from_arrays(offsets, apps, pa.array(np.round(visits.amount, 1))),
        }
    )


def _ads(world: World, ids: NDArray[np.object_], block: Block, visits: Visits, cutoff: int) -> pa.Table:
    """Views and clicks of campaigns; and list entries: an entity's audience, its tier there, a partner's list."""
    listed, segment = np.nonzero(block.audience)
    names = np.array(world.segments.names, dtype=object)
    partners = np.array([partner_list(number) for number in range(len(names))], dtype=object)
    partner = partners[segment]
    partner[~block.partner[listed, segment]] = None
    tiers = _pick(_TIERS, (listed + block.first + segment) % len(_TIERS))
    # A list entry's time comes from the entity's number: spread over the window before the cutoff.
    days = -((listed + block.first) * 7 % 27 + 0.5)
    nothing = np.full(len(visits.entity), None, dtype=object)
    action = _pick(("view", "view", "view", "click"), visits.flavour & 3)
    return pa.table(
        {
            "entity_id": pa.array(np.concatenate([ids[visits.entity], ids[listed]]), pa.string()),
            "event_time": _timestamps(np.concatenate([visits.days, days]), cutoff),
            "action": pa.array(np.concatenate([action, np.full(len(listed), "list", dtype=object)]), pa.string()),
            "campaign": pa.array(
                np.concatenate([item_names(2)[visits.item], np.full(len(listed), None, dtype=object)]), pa.string()
            ),
            "audience": pa.array(np.concatenate([nothing, names[segment]]), pa.string()),
            "tier": pa.array(np.concatenate([nothing, names[segment] + tiers]), pa.string()),
            "partner_list": pa.array(np.concatenate([nothing, partner]), pa.string()),
        }
    )


def _finance(ids: NDArray[np.object_], visits: Visits, cutoff: int) -> pa.Table:
    """Bookings; three in a thousand come twice, the second time with an amount that is no number."""
    again = np.flatnonzero(visits.flavour % 1000 < 3)
    rows = np.concatenate([np.arange(len(visits.entity)), again])
    amounts = np.array([f"{amount:.2f}" for amount in visits.amount], dtype=object)
    broken = _pick(_BROKEN, (visits.flavour[again] >> 12) & 3)
    return pa.table(
        {
            "entity_id": pa.array(ids[visits.entity[rows]], pa.string()),
            "booked_at": pa.array((cutoff + _microseconds(visits.days[rows])) // 1000, pa.int64()),
            "merchant": pa.array(item_names(3)[visits.item[rows]], pa.string()),
            "channel": pa.array(_pick(_CHANNELS, (visits.flavour[rows] >> 4) & 3), pa.string()),
            "amount": pa.array(np.concatenate([amounts, broken]), pa.string()),
        }
    )


def _profile(ids: NDArray[np.object_], block: Block) -> pa.Table:
    return pa.table(
        {
            "entity_id": pa.array(ids, pa.string()),
            "age_band": pa.array(_pick((*AGE_BANDS, None), block.age), pa.string()),
            "sex": pa.array(_pick((*SEXES, None), block.sex), pa.string()),
            "region": pa.array([f"region_{number:02d}" for number in block.region], pa.string()),
        }
    )


def _labels(world: World, ids: NDArray[np.object_], block: Block) -> pa.Table:
    entity, segment = np.nonzero(block.labels)
    names = np.array(world.segments.names, dtype=object)
    return pa.table(
        {
            "entity_id": pa.array(ids[entity], pa.string()),
            "segment": pa.array(names[segment], pa.string()),
            "label": pa.array(np.ones(len(entity), dtype=np.int32)),
        }
    )


def _truth(ids: NDArray[np.object_], block: Block) -> pa.Table:
    count, segments = block.probabilities.shape
    probabilities = pa.ListArray.from_arrays(
        pa.array(np.arange(0, count * segments + 1, segments), pa.int32()),
        pa.array(block.probabilities.ravel().astype(np.float32)),
    )
    return pa.table({"entity_id": pa.array(ids, pa.string()), "probabilities": probabilities})


def _only(table: pa.Table, entities: pa.Array) -> pa.Table:
    return table.filter(pc.is_in(table["entity_id"], value_set=entities))


def _pick(values: Sequence[Any] | Iterable[Any], index: Ints | NDArray[np.uint32]) -> NDArray[np.object_]:
    """values[index]; -1 picks the last."""
    return np.array(list(values), dtype=object)[index.astype(np.int64)]


def _microseconds(days: NDArray[np.float64]) -> Ints:
    return np.floor(days * MICROSECONDS_A_DAY).astype(np.int64)


def _timestamps(days: NDArray[np.float64], cutoff: int) -> pa.Array:
    return pa.array(cutoff + _microseconds(days), _TIME)
