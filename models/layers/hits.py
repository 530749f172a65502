"""Which (row, task) pairs have a mask that hits the row (paper Eq 4-5, Figure 4).

A pair whose mask holds none of the row's concepts sees the row's plain input. Only the others need an input
of their own, and pairs of one row of which the same concepts are hidden share it, whatever else their masks hold: one
*view* per distinct row and hidden concepts.

    row 0: concepts 4 9 12        mask 1 = {9, 12} (tasks 0 and 3)      views    (row 0)   (row 1)   (row 2)
    row 1: concepts 4             mask 2 = {4}     (task 1)             entries   9, 12     4         9
    row 2: concepts 7 9           mask 3 = {9}     (task 2)             tasks     0, 3      1         0, 2, 3
                                  mask 2 hits row 0 too, but no pair
                                  (0, task 1) is asked for: no view
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.batch import Batch
from models.layers.distinct import first_alike
from models.masks import TaskMasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """The masked views of a batch, all int64.

    view_rows [views]: the row a view is of
    entries [masked entries]: positions in batch.concept_ids that are hidden from the views, ordered by view
    entry_offsets [views + 1]: where each view's entries begin
    pair_positions [hit pairs]: positions of the hit pairs among the batch's pairs, ascending
    pair_views, pair_tasks [hit pairs]: their view and task
    """

    view_rows: Tensor
    entries: Tensor
    entry_offsets: Tensor
    pair_positions: Tensor
    pair_views: Tensor
    pair_tasks: Tensor

    @property
    def views(self) -> int:
        return self.view_rows.numel()


def find_hits(batch: Batch, masks: TaskMasks, pair_keys: Tensor | None) -> Hits:
    """The hits of a batch. pair_keys [pairs] int64: row * tasks + task of each pair, strictly ascending; None: all."""
    entry, mask_ids = _masked_entries(batch, masks)
    rows = torch.searchsorted(batch.row_offsets, entry, right=True) - 1
    # Distinct (row, mask), ascending; a stable sort keeps the entries of a view together and in order.
    keys, order = torch.sort(rows * masks.masks + mask_ids, stable=True)
    views, lengths = torch.unique_consecutive(keys, return_counts=True)
    view_rows, view_masks = views // masks.masks, views % masks.masks

    # Every task of the view's mask.
    tasks_by_mask = torch.argsort(masks.task_mask, stable=True)
    tasks_per_mask = torch.bincount(masks.task_mask, minlength=masks.masks)
    pair_views, within = expand(tasks_per_mask[view_masks])
    first_task = torch.cumsum(tasks_per_mask, 0) - tasks_per_mask
    pair_tasks = tasks_by_mask[first_task[view_masks[pair_views]] + within]
    positions = view_rows[pair_views] * masks.tasks + pair_tasks

    if pair_keys is not None:  # keep only what the batch asks for
        wanted = positions
        positions = torch.searchsorted(pair_keys, wanted)
        found = torch.cat([pair_keys, pair_keys.new_full((1,), -1)])[positions] == wanted
        positions, pair_views, pair_tasks = positions[found], pair_views[found], pair_tasks[found]
        used = torch.zeros(views.numel(), dtype=torch.bool, device=views.device)
        used[pair_views] = True
        order = order[torch.repeat_interleave(used, lengths)]
        view_rows, lengths = view_rows[used], lengths[used]
        pair_views = (torch.cumsum(used, 0) - 1)[pair_views]

    first = first_alike(entry[order], lengths)  # an entry is of one row, so views of two rows are never alike
    kept = first == torch.arange(first.numel(), device=first.device)
    order = order[torch.repeat_interleave(kept, lengths)]
    view_rows, lengths = view_rows[kept], lengths[kept]
    pair_views = (torch.cumsum(kept, 0) - 1)[first[pair_views]]

    positions, by_position = torch.sort(positions)
    return Hits(
        view_rows=view_rows,
        entries=entry[order],
        entry_offsets=torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
        pair_positions=positions,
        pair_views=pair_views[by_position],
        pair_tasks=pair_tasks[by_position],
    )


def expand(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Item i repeated counts[i] times, and the running number within each item: [2, 1] -> [0, 0, 1], [0, 1, 0]."""
    items = torch.repeat_interleave(torch.arange(counts.numel(), device=counts.device), counts)
    starts = torch.cumsum(counts, 0) - counts
    return items, torch.arange(items.numel(), device=counts.device) - starts[items]


def _masked_entries(batch: Batch, masks: TaskMasks) -> tuple[Tensor, Tensor]:
    """(entry, mask id) of each concept entry and each mask that holds it."""
    first = masks.concept_offsets[batch.concept_ids]
    counts = masks.concept_offsets[batch.concept_ids + 1] - first
    entry = counts.nonzero().squeeze(1)
    repeated, within = expand(counts[entry])
    entry = entry[repeated]
    return entry, masks.concept_masks[first[entry] + within]
