"""The best that can be: the true probabilities of simulated data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from pipeline.errors import UserError

NAMES = "oracle.json"


def read_truth(folder: Path, entity_ids: Sequence[str], segments: Sequence[str]) -> NDArray[np.float64]:
    """[entities, segments] true probabilities; NaN columns for segments the truth does not know.

    The folder holds Parquet files of `entity_id string, probabilities list<float>`; the names of the list's places
    stand in `oracle.json` beside it. Raises UserError where files, columns or entities are missing.
    """
    names = _names(folder.parent / NAMES)
    try:
        dataset = ds.dataset(folder, format="parquet", exclude_invalid_files=False)
        wanted = pa.array(list(entity_ids), pa.string())
        table = dataset.to_table(
            columns=["entity_id", "probabilities"], filter=pc.field("entity_id").isin(wanted)
        ).combine_chunks()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{folder}: evaluate.oracle cannot be read: {error}") from None
    place = pc.index_in(wanted, table.column("entity_id").combine_chunks())
    if place.null_count:
        unknown = wanted.filter(place.is_null())
        raise UserError(
            f"{folder}: no true probabilities of {len(unknown)} entities, such as {unknown[0]}; "
            "is evaluate.oracle that of these events?"
        )
    lists = table.column("probabilities").combine_chunks()
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    if len(flat) != len(table) * len(names):
        raise UserError(f"{folder}: its rows do not hold {len(names)} probabilities each, as {NAMES} says")
    known = flat.reshape(len(table), len(names))[place.to_numpy(zero_copy_only=False).astype(np.int64)]
    column = {name: index for index, name in enumerate(names)}
    truth = np.full((len(entity_ids), len(segments)), np.nan)
    for index, segment in enumerate(segments):
        if segment in column:
            truth[:, index] = known[:, column[segment]]
    return truth


def _names(path: Path) -> list[str]:
    try:
        return [segment["name"] for segment in json.loads(path.read_text(encoding="utf-8"))["segments"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: evaluate.oracle needs this file, with the segments' names; simulate again") from None
