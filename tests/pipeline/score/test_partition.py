"""Arrow batches: slices, empty rows, rows the model gives no finite score."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from models.batch import Batch
from pipeline.modelfolder import TaskSpec
from pipeline.score.heads import Heads
from pipeline.score.partition import score_batch, to_batch

HEADS = Heads.of([TaskSpec(name="first"), TaskSpec(name="second", kind="regression")], {"first": 0.75})
VECTORS = pa.record_batch(
    [
        pa.array(["a", "b", "c", "d"]),
        pa.array([[1, 2], [], [3], [0, 1, 2]], pa.list_(pa.int32())),
        pa.array([[1.0, 2.0], [], [3.0], [1.0, 1.0, 1.0]], pa.list_(pa.float32())),
    ],
    names=["entity_id", "concept_ids", "concept_weights"],
)


class WeightSums(torch.nn.Module):
    """Each task's logit is the sum of the row's weights, times 1 and 10."""

    def forward(self, batch: Batch) -> torch.Tensor:
        sums = torch.zeros(batch.rows).index_add_(0, batch.row_of_entry(), batch.concept_weights)
        return (sums[batch.pair_rows] * torch.tensor([1.0, 10.0])[batch.pair_tasks])[:, None]


def test_a_slice_is_read_from_where_it_starts() -> None:
    batch = to_batch(VECTORS.slice(1, 2))
    assert batch.concept_ids.tolist() == [3]
    assert batch.row_offsets.tolist() == [0, 0, 1]


def test_an_entity_has_a_row_with_a_score_a_head_from_a_slice_too() -> None:
    whole = score_batch(WeightSums(), HEADS, VECTORS).to_pylist()
    assert [row["entity_id"] for row in whole] == ["a", "b", "c", "d"]
    assert [row["scores"][1] for row in whole] == [30.0, 0.0, 30.0, 30.0]
    assert [row["decisions"] for row in whole] == [[True, None], [False, None], [True, None], [True, None]]
    assert score_batch(WeightSums(), HEADS, VECTORS.slice(1, 2)).to_pylist() == whole[1:3]


def test_an_entity_with_a_score_that_is_not_finite_is_left_out_whole() -> None:
    weights = np.array([1.0, 2.0, np.float32(3e38), 1.0, 1.0, 1.0], np.float32)
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 2, 3, 6], pa.int32()), pa.array(weights))
    huge = pa.record_batch([VECTORS.column(0), VECTORS.column(1), lists], names=VECTORS.schema.names)
    assert score_batch(WeightSums(), HEADS, huge).column("entity_id").to_pylist() == ["a", "b", "d"]
