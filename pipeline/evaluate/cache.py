"""Fitted baselines kept in one file: another evaluation of the same shards (another training seed) refits nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.evaluate.baselines import Fitted

logger = logging.getLogger(__name__)


def key_of(manifest_text: str, settings: Mapping[str, Any]) -> str:
    """16 hex digits of the content of the shards (the manifest holds every file's checksum) and of the settings."""
    text = manifest_text + json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def cached(path: Path, fit: Callable[[], list[Fitted]]) -> list[Fitted]:
    """What stands in the file, or else what `fit` gives, which is then written to it in one step."""
    if path.exists():
        try:
            fitted = _read(path)
            logger.info("baselines: %s, fitted before", path.name)
            return fitted
        except (OSError, ValueError, KeyError) as error:
            logger.warning("%s: cannot be read (%s); fitting again", path, error)
    fitted = fit()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **_columns(fitted))
    os.replace(temporary, path)
    return fitted


def _columns(fitted: Sequence[Fitted]) -> dict[str, np.ndarray]:
    arrays = {f"scores_{place}": one.scores for place, one in enumerate(fitted)}
    facts = [{"threshold": one.threshold, "chosen": one.chosen, "seconds": one.seconds} for one in fitted]
    return arrays | {"facts": np.frombuffer(json.dumps(facts).encode("utf-8"), np.uint8)}


def _read(path: Path) -> list[Fitted]:
    with np.load(path, allow_pickle=False) as arrays:
        facts = json.loads(arrays["facts"].tobytes())
        return [
            Fitted(arrays[f"scores_{place}"], one["threshold"], one["chosen"], one["seconds"])
            for place, one in enumerate(facts)
        ]
