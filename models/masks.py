"""Causal masks as tensors (paper Eq 4-5): which concepts each task may not see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TaskMasks(nn.Module):
    """CMask(i) for every task, deduplicated: tasks with the same mask share one mask id.

    task_mask    [tasks] int64: mask id of each task; mask 0 is always the empty mask
    mask_offsets [masks + 1], mask_concepts [entries] int64: concept ids of each mask, ascending
    concept_offsets [vocabulary + 1], concept_masks [entries] int64: the transpose, masks of each concept

    The tensors are buffers, so that they travel with the weights of a model folder.
    """

    task_mask: Tensor
    mask_offsets: Tensor
    mask_concepts: Tensor
    concept_offsets: Tensor
    concept_masks: Tensor

    def __init__(self, concepts_of_task: Sequence[Sequence[int] | Tensor], vocabulary_size: int) -> None:
        """concepts_of_task: for each task the concept ids of its mask, as a tensor where they may be millions.

        Raises ValueError for an id outside 0..V-1.
        """
        super().__init__()
        distinct = [torch.zeros(0, dtype=torch.int64)]
        numbers = {b"": 0}
        task_mask = []
        for ids in concepts_of_task:
            mask = torch.as_tensor(ids, dtype=torch.int64).unique()
            content = mask.numpy().tobytes()
            if content not in numbers:
                numbers[content] = len(distinct)
                distinct.append(mask)
            task_mask.append(numbers[content])
        lengths = torch.tensor([len(mask) for mask in distinct])
        mask_ids, concepts = torch.repeat_interleave(lengths), torch.cat(distinct)
        if len(concepts) and (concepts.min() < 0 or concepts.max() >= vocabulary_size):
            raise ValueError(f"a mask names a concept id outside 0..{vocabulary_size - 1}")
        by_concept = torch.argsort(concepts, stable=True)
        self.register_buffer("task_mask", torch.tensor(task_mask, dtype=torch.int64))
        self.register_buffer("mask_offsets", _offsets(mask_ids, len(distinct)))
        self.register_buffer("mask_concepts", concepts)
        self.register_buffer("concept_offsets", _offsets(concepts, vocabulary_size))
        self.register_buffer("concept_masks", mask_ids[by_concept])

    @property
    def tasks(self) -> int:
        return self.task_mask.numel()

    @property
    def masks(self) -> int:
        """The number of distinct masks, the empty one included."""
        return self.mask_offsets.numel() - 1

    @property
    def vocabulary_size(self) -> int:
        return self.concept_offsets.numel() - 1


def _offsets(keys: Tensor, size: int) -> Tensor:
    counts = torch.bincount(keys, minlength=size) if keys.numel() else torch.zeros(size, dtype=torch.int64)
    return torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
