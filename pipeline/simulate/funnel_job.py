"""The funnel as files: {workdir}/events/{impressions,truth} and oracle.json, replaced whole.

Written block by block in this process: memory holds one block, whatever the number of impressions.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import summary
from pipeline.config import Config
from pipeline.config.learning import Funnel
from pipeline.layout import Layout
from pipeline.simulate.files import open_staging, put_in_place, write_file
from pipeline.simulate.funnel import FunnelWorld, Impressions, build_funnel, generate_impressions
from pipeline.simulate.oracle import BINS, histogram, oracle_auc

logger = logging.getLogger(__name__)

STEPS = ("click", "conversion")


def run_funnel(config: Config, settings: Funnel) -> None:
    """Write the impressions and, beside them, the truth: `probabilities` of STEPS in the entire space (a conversion's
    is P(click) P(conversion | click)), `propensity` (P(click)) and `if_clicked` (P(conversion | click), of every
    impression). Raises UserError where the folder cannot be written.
    """
    started = time.monotonic()
    root = (Layout.of(config).workdir / "events").absolute()
    staging = open_staging(root)
    world = build_funnel(settings)
    counts = np.zeros((2, len(STEPS), BINS), dtype=np.int64)
    facts: dict[str, float] = {"entities": settings.impressions, "clicks": 0, "conversions": 0}
    would_convert = 0.0
    for part in range(-(-settings.impressions // settings.block)):
        shown = _first(generate_impressions(world, part, settings.block), settings.impressions)
        write_file(_impressions(world, shown), staging / "impressions" / f"part-{part:05d}.parquet")
        write_file(_truth(shown), staging / "truth" / f"part-{part:05d}.parquet")
        counts += histogram(_probabilities(shown), np.stack([shown.clicked, shown.converted], axis=1))
        facts["clicks"] += int(shown.clicked.sum())
        facts["conversions"] += int(shown.converted.sum())
        would_convert += float(shown.if_clicked.sum())
    _write_oracle(counts, staging)
    put_in_place(staging, root)
    rates = {"conversion_rate_if_all_were_clicked": would_convert / settings.impressions}
    rates["conversion_rate_of_clicks"] = facts["conversions"] / max(1, facts["clicks"])
    seconds = time.monotonic() - started
    summary.write(Layout.of(config), "simulate", {**facts, **rates, "seed": settings.seed, "seconds": seconds})
    logger.info("simulated %(entities)d impressions, %(clicks)d clicks, %(conversions)d conversions", facts)


def _first(shown: Impressions, total: int) -> Impressions:
    """Without what lies past the last impression asked for."""
    here = total - shown.first
    cut = {name: getattr(shown, name)[:here] for name in Impressions.__dataclass_fields__ if name != "first"}
    return Impressions(first=shown.first, **cut)


def _ids(shown: Impressions) -> pa.Array:
    return pa.array([f"i{number:09d}" for number in range(shown.first, shown.first + len(shown.user))])


def _impressions(world: FunnelWorld, shown: Impressions) -> pa.Table:
    """What the platform knows: who, what, where, when, and what came of it."""
    user, item = shown.user, shown.item
    return pa.table(
        {
            "entity_id": _ids(shown),
            "user": _texts("u", user),
            "age": pa.array(world.age[user]),
            "region": pa.array(world.region[user]),
            "interests": pa.array([[f"c{one}" for one in row] for row in world.interests[user]]),
            "item": _texts("i", item),
            "category": _texts("c", world.category[item]),
            "brand": _texts("b", world.brand[item]),
            "price": pa.array(world.price[item]),
            "position": pa.array(shown.position),
            "hour": pa.array(shown.hour),
            "clicked": pa.array(shown.clicked),
            "converted": pa.array(shown.converted),
        }
    )


def _truth(shown: Impressions) -> pa.Table:
    return pa.table(
        {
            "entity_id": _ids(shown),
            "probabilities": pa.array(list(_probabilities(shown)), pa.list_(pa.float64())),
            "propensity": pa.array(shown.propensity),
            "if_clicked": pa.array(shown.if_clicked),
        }
    )


def _probabilities(shown: Impressions) -> NDArray[np.float64]:
    """[n, STEPS] in the entire space."""
    return np.stack([shown.propensity, shown.propensity * shown.if_clicked], axis=1)


def _texts(letter: str, numbers: NDArray[np.int64]) -> pa.Array:
    return pa.array([f"{letter}{number}" for number in numbers])


def _write_oracle(counts: NDArray[np.int64], folder: Path) -> None:
    """oracle.json: the best possible AUC of each step and its positives."""
    segments = [
        {"name": name, "auc": None if np.isnan(auc) else float(auc), "positives": int(n)}
        for name, auc, n in zip(STEPS, oracle_auc(counts), counts[1].sum(axis=1), strict=True)
    ]
    (folder / "oracle.json").write_text(json.dumps({"segments": segments}, indent=1) + "\n", encoding="utf-8")
