"""Hiding a random share of each row's concepts: regularisation, and the targets of the auxiliary tasks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.batch import Batch
from models.implications import Implications
from models.layers.dropout import random_int16
from models.layers.hits import expand


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenConcepts:
    """What was taken out of a batch: the row and the concept id of each hidden entry, int64, in the batch's order."""

    rows: Tensor
    concept_ids: Tensor


def hide(
    batch: Batch,
    share_max: float,
    generator: torch.Generator | None = None,
    implications: Implications | None = None,
) -> tuple[Batch, HiddenConcepts]:
    """The batch with a random share of each row's concepts taken out, and what was taken.

    Each row draws its share from U[0, share_max); each of its concepts is hidden with that probability (to 1/65,536).
    With implications, a hidden concept takes along all concepts of its row that imply it: as a target of the auxiliary
    tasks it would be trivial otherwise. Each is then drawn with q = 1 - (1 - share)^(1 / (1 + largest n)), so that one
    that implies n others, hidden with probability 1 - (1 - q)^(1 + n), is hidden no more often than by its row's share.
    """
    if not 0 <= share_max <= 1:
        raise ValueError(f"the share to hide is between 0 and 1, not {share_max}")
    device = batch.concept_ids.device
    share = torch.rand(batch.rows, device=device, generator=generator) * share_max
    if implications is not None and implications.largest:
        share = 1 - (1 - share) ** (1 / (1 + implications.largest))
    # Uniform over -32768..32767: below this level with probability share.
    level = (share * 65536).to(torch.int32) - 32768
    lengths = batch.row_offsets[1:] - batch.row_offsets[:-1]
    draws = random_int16(batch.concept_ids.numel(), device, generator)
    hidden = draws < torch.repeat_interleave(level, lengths)
    if implications is not None and implications.largest:
        hidden = hidden | _giving_away(batch, hidden, implications)
    return _without(batch, hidden)


def _without(batch: Batch, hidden: Tensor) -> tuple[Batch, HiddenConcepts]:
    """hidden [nnz] bool: the entries to take out."""
    taken = hidden.nonzero().squeeze(1)
    rows = torch.searchsorted(batch.row_offsets, taken, right=True) - 1
    taken_before = torch.cat([taken.new_zeros(1), torch.bincount(rows, minlength=batch.rows).cumsum(0)])
    kept = (~hidden).nonzero().squeeze(1)
    visible = replace(
        batch,
        concept_ids=batch.concept_ids[kept],
        concept_weights=batch.concept_weights[kept],
        row_offsets=batch.row_offsets - taken_before,
    )
    return visible, HiddenConcepts(rows=rows, concept_ids=batch.concept_ids[taken])


def _giving_away(batch: Batch, hidden: Tensor, implications: Implications) -> Tensor:
    """[nnz] bool: entries that imply a hidden concept of their row."""
    vocabulary = implications.offsets.numel() - 1
    entry_keys = batch.row_of_entry() * vocabulary + batch.concept_ids  # ascending
    taken = hidden.nonzero().squeeze(1)
    first = implications.offsets[batch.concept_ids[taken]]
    items, within = expand(implications.offsets[batch.concept_ids[taken] + 1] - first)
    implying = implications.implying[first[items] + within]
    wanted = (entry_keys[taken[items]] // vocabulary) * vocabulary + implying
    position = torch.searchsorted(entry_keys, wanted).clamp(max=max(0, entry_keys.numel() - 1))
    found = torch.zeros_like(hidden)
    found[position[entry_keys[position] == wanted]] = True
    return found
