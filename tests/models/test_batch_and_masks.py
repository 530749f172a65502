"""The contract between shards and models."""

from __future__ import annotations

import pytest

from models.masks import TaskMasks
from models.task import Task
from tests.models.examples import make_batch


def test_rows_know_their_entries() -> None:
    batch = make_batch([{1: 1.0, 4: 2.0}, {}, {0: 1.0}], [(0, 1), (2, 0)], tasks=2)
    assert (batch.rows, batch.pairs) == (3, 2)
    assert batch.row_of_entry().tolist() == [0, 0, 2]


def test_all_tasks_are_sorted_by_row_then_task() -> None:
    batch = make_batch([{1: 1.0}, {}], [(1, 0)], tasks=3).with_all_tasks(3)
    assert batch.pair_rows.tolist() == [0, 0, 0, 1, 1, 1]
    assert batch.pair_tasks.tolist() == [0, 1, 2, 0, 1, 2]


def test_tasks_with_the_same_mask_share_it() -> None:
    masks = TaskMasks([[3, 1], [], [1, 3, 3], [2]], vocabulary_size=5)
    assert (masks.tasks, masks.masks, masks.vocabulary_size) == (4, 3, 5)
    assert masks.task_mask.tolist() == [1, 0, 1, 2]
    assert masks.mask_concepts.tolist() == [1, 3, 2]
    assert masks.mask_offsets.tolist() == [0, 0, 2, 3]


def test_the_transpose_lists_the_masks_of_each_concept() -> None:
    masks = TaskMasks([[0, 1], [1]], vocabulary_size=3)
    found = [masks.concept_masks[masks.concept_offsets[c] : masks.concept_offsets[c + 1]].tolist() for c in range(3)]
    assert found == [[1], [1, 2], []]


@pytest.mark.parametrize("concept", [-1, 5])
def test_a_mask_outside_the_vocabulary_is_refused(concept: int) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.4"):
        TaskMasks([[concept]], vocabulary_size=5)


def test_outputs_must_fit_the_kind() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Task(name="colour", kind="multiclass", outputs=1)
    with pytest.raises(ValueError, match="has 1 output"):
        Task(name="age", kind="regression", outputs=2)
