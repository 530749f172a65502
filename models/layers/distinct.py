"""Lists that hold the same numbers: one of each is enough."""

from __future__ import annotations

import torch
from torch import Tensor

_FACTORS = (-7046029254386353131, -4658895280553007687)
"""Odd 64-bit numbers without a pattern, of splitmix64 (Steele, Lea and Flood 2014)."""


def first_alike(entries: Tensor, lengths: Tensor) -> Tensor:
    """[lists]: of each list the number of the first that holds the same entries.

    entries int64: of all lists one after the other, ascending in each; lengths [lists], none of them 0. Alike are
    lists of one sum of mixed entries that also turn out to be equal: a list that has the sum of another by chance
    stands for itself.
    """
    lists = torch.arange(lengths.numel(), device=entries.device)
    ends = lengths.cumsum(0)
    starts = ends - lengths
    running = torch.cat([entries.new_zeros(1), _mixed(entries).cumsum(0)])  # wraps around, and so do its differences
    ordered, order = torch.sort(running[ends] - running[starts], stable=True)
    is_new = torch.cat([ordered.new_ones(1, dtype=torch.bool), ordered[1:] != ordered[:-1]])[: lists.numel()]
    first = torch.empty_like(lists)
    first[order] = order[is_new][is_new.cumsum(0) - 1]

    first = torch.where(lengths[first] == lengths, first, lists)
    within = torch.arange(entries.numel(), device=entries.device) - starts.repeat_interleave(lengths)
    other = entries[starts[first].repeat_interleave(lengths) + within] != entries
    differs = torch.zeros_like(lists, dtype=torch.bool)
    differs[lists.repeat_interleave(lengths)[other]] = True
    return torch.where(differs, lists, first)


def _mixed(numbers: Tensor) -> Tensor:
    mixed = (numbers + 1) * _FACTORS[0]
    mixed = (mixed ^ (mixed >> 27)) * _FACTORS[1]
    return mixed ^ (mixed >> 31)
