"""Hiding a random share of each row's concepts: regularisation, and the targets of the auxiliary tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from models.batch import Batch
from models.layers.dropout import random_int16
from models.layers.hits import expand


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenConcepts:
    """What was taken out of a batch: the row and the concept id of each hidden entry, int64, in the batch's order."""

    rows: Tensor
    concept_ids: Tensor


class Implications(nn.Module):
    """Which concepts give another one away: implied_by[c] = the concepts whose presence implies c.

    An item implies its category, brand and topic. Give the relation closed (an item implies its brand's topic too).
    """

    offsets: Tensor
    implying: Tensor
    longest: int

    def __init__(self, implied_by: dict[int, Sequence[int]], vocabulary_size: int) -> None:
        """Raises ValueError for an id outside the vocabulary."""
        super().__init__()
        named = [*implied_by, *(concept for implying in implied_by.values() for concept in implying)]
        if named and not 0 <= min(named) <= max(named) < vocabulary_size:
            raise ValueError(f"an implication names a concept id outside 0..{vocabulary_size - 1}")
        counts = torch.zeros(vocabulary_size, dtype=torch.int64)
        for concept, implying in implied_by.items():
            counts[concept] = len(implying)
        flat = [implying for concept in sorted(implied_by) for implying in implied_by[concept]]
        self.register_buffer("offsets", torch.cat([counts.new_zeros(1), counts.cumsum(0)]))
        self.register_buffer("implying", torch.tensor(flat, dtype=torch.int64))
        # How many concepts the most telling concept implies.
        self.longest = int(torch.bincount(self.implying).max()) if flat else 0


def hide(
    batch: Batch,
    share_max: float,
    generator: torch.Generator | None = None,
    implications: Implications | None = None,
) -> tuple[Batch, HiddenConcepts]:
    """The batch with a random share of each row's concepts taken out, and what was taken.

    Each row draws its share from U[0, share_max); each of its concepts is hidden with that probability (to 1/65,536).
    With implications, a hidden concept takes along all concepts of its row that imply it, for as a target it would
    be trivial otherwise. The probability is lowered so that even then none is hidden more often than by its
    row's share: one that implies n others is hidden with 1 - (1 - q)^(1 + n), q = 1 - (1 - share)^(1 / (1 + largest n)).
    """
    if not 0 <= share_max <= 1:
        raise ValueError(f"the share to hide is between 0 and 1, not {share_max}")
    device = batch.concept_ids.device
    share = torch.rand(batch.rows, device=device, generator=generator) * share_max
    if implications is not None and implications.longest:
        share = 1 - (1 - share) ** (1 / (1 + implications.longest))
    # Uniform over -32768..32767: below this level with probability share.
    level = (share * 65536).to(torch.int32) - 32768
    lengths = batch.row_offsets[1:] - batch.row_offsets[:-1]
    draws = random_int16(batch.concept_ids.numel(), device, generator)
    hidden = draws < torch.repeat_interleave(level, lengths)
    if implications is not None and implications.longest:
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
