"""Arrow batches of concept vectors → Arrow batches of scores, a row an entity, inside Spark's Python workers.

Torch is imported when the first batch comes, not with the module: Spark's driver and idle workers do without it.
A worker loads the model once, whatever the number of tasks it is given. Nothing here has a side effect, so a task
that Spark runs twice (a retry, speculation) leaves no trace of the first run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.faults import fault_point
from pipeline.score.heads import Heads

if TYPE_CHECKING:
    from torch import nn

    from models.batch import Batch

SCHEMA = "entity_id string, scores array<double>, decisions array<boolean>"
"""A row an entity; arrays are [heads]. Rows of segments (rows.py) would be several times as much to send back."""
_ARROW_SCHEMA = pa.schema(
    [("entity_id", pa.string()), ("scores", pa.list_(pa.float64())), ("decisions", pa.list_(pa.bool_()))]
)
_loaded: dict[str, tuple[nn.Module, Heads]] = {}
"""The worker's model by the folder of its generation, whose content never changes."""


def partition_scorer(model_folder: str) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for mapInArrow: reads entity_id, concept_ids, concept_weights, yields rows of SCHEMA.

    model_folder: the generation of a model, at a path that every worker sees. An entity whose scores are not all
    finite is left out whole; the stage finds and quarantines it.
    """

    def score_partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        place = f"{context.partitionId()}:{context.attemptNumber()}" if context else ""
        for record_batch in batches:
            if record_batch.num_rows:
                model, heads = _model(model_folder)
                yield score_batch(model, heads, record_batch)
                fault_point(f"score:in-task:{place}")

    return score_partition


def score_batch(model: nn.Module, heads: Heads, record_batch: pa.RecordBatch) -> pa.RecordBatch:
    """[rows] concept vectors → rows of SCHEMA, of the entities whose scores are all finite."""
    import torch

    batch = to_batch(record_batch)
    tasks = int(heads.tasks[-1]) + 1
    with torch.inference_mode():
        logits = model(batch.with_all_tasks(tasks)).float().numpy()
    scores = heads.scores(logits.reshape(batch.rows, tasks, -1))
    finite = np.isfinite(scores).all(axis=1)
    return scored_rows(record_batch.column("entity_id"), np.flatnonzero(finite), scores, heads)


def to_batch(record_batch: pa.RecordBatch) -> Batch:
    """Concept vectors as a Batch without pairs; no copy of the weights, one of the ids (to int64)."""
    import torch

    from models.batch import Batch

    ids, offsets = _flat(record_batch.column("concept_ids"))
    weights, _ = _flat(record_batch.column("concept_weights"))
    none = torch.zeros(0, dtype=torch.int64)
    return Batch(
        concept_ids=torch.from_numpy(ids.astype(np.int64)),
        concept_weights=torch.from_numpy(weights.astype(np.float32)),
        row_offsets=torch.from_numpy(offsets.astype(np.int64)),
        pair_rows=none,
        pair_tasks=none,
        labels=torch.zeros(0),
    )


def scored_rows(
    entities: pa.StringArray, kept: NDArray[np.int64], scores: NDArray[np.float64], heads: Heads
) -> pa.RecordBatch:
    """The rows `kept` of scores [rows, heads] as rows of SCHEMA, built flat."""
    if len(kept) < len(scores):
        scores, entities = scores[kept], entities.take(pa.array(kept))
    decisions, known = heads.decisions(scores)
    unknown = None if known.all() else np.tile(~known, len(scores))
    offsets = pa.array(np.arange(len(scores) + 1, dtype=np.int32) * len(heads.names))
    columns = [
        entities,
        pa.ListArray.from_arrays(offsets, pa.array(scores.ravel())),
        pa.ListArray.from_arrays(offsets, pa.array(decisions.ravel(), mask=unknown)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_ARROW_SCHEMA)


def _flat(column: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """Values [n] and offsets [rows + 1] from 0. A slice's offsets start where the slice does: they are shifted."""
    offsets = column.offsets.to_numpy()
    return column.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]], offsets - offsets[0]


def _model(folder: str) -> tuple[nn.Module, Heads]:
    """The worker's model, loaded at the first call. One torch thread: Spark runs one worker a core."""
    if folder not in _loaded:
        import torch

        from pipeline.modelfolder import load_model

        torch.set_num_threads(1)
        found = load_model(folder)
        _loaded.clear()
        _loaded[folder] = (found.model, Heads.of(found.spec.tasks, found.spec.thresholds))
    return _loaded[folder]
