"""Chains of tasks such as click → conversion: a later step happens only after the one before (APEM Eq 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.batch import Batch
from models.task import Task


class Chains(nn.Module):
    """The links of chains of task ids; of each link the previous and the later task.

    previous [tasks] int64: the task before, -1 where there is none. steps: the links by their place in their chain,
    (previous tasks, later tasks) each, so that what follows along chains takes one operation a step.
    """

    previous: Tensor

    def __init__(self, chains: Sequence[Sequence[int]], tasks: Sequence[Task]) -> None:
        """Raises ValueError for a chain of one task, a task in two places and a task that is not binary."""
        super().__init__()
        named = [task for chain in chains for task in chain]
        if any(len(chain) < 2 for chain in chains):
            raise ValueError("a chain has at least 2 tasks")
        if len(set(named)) < len(named):
            raise ValueError("chains name a task twice")
        for task in named:
            if not 0 <= task < len(tasks):
                raise ValueError(f"chains name task {task} of {len(tasks)}")
            if tasks[task].kind != "binary":
                raise ValueError(f"task {tasks[task].name} is {tasks[task].kind}; chains are of binary tasks")
        previous = torch.full((len(tasks),), -1)
        by_step: dict[int, list[tuple[int, int]]] = {}
        for chain in chains:
            for step, (before, later) in enumerate(pairwise(chain)):
                previous[later] = before
                by_step.setdefault(step, []).append((before, later))
        self.register_buffer("previous", previous, persistent=False)
        self.steps = [([before for before, _ in links], [later for _, later in links]) for links in by_step.values()]
        self.later = [task for _, later in self.steps for task in later]
        """The tasks that have one before them, in the order of `steps`."""

    def linked_pairs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Positions among the batch's pairs: rows that have both tasks of a link (previous [n], later [n])."""
        tasks = self.previous.numel()
        keys = batch.pair_rows * tasks + batch.pair_tasks
        later = (self.previous[batch.pair_tasks] >= 0).nonzero().squeeze(1)
        position, found = _find(keys, batch.pair_rows[later] * tasks + self.previous[batch.pair_tasks[later]])
        return position[found], later[found]

    def entire_logits(self, conditional: Tensor, head_of_task: Tensor) -> Tensor:
        """From logits of P(T_i | T_(i-1)) to those of P(T_i) = P(T_i | T_(i-1)) P(T_(i-1)): [views, heads] both.

        head_of_task [tasks]: the head of each (binary) task. Heads of tasks without one before stay as they are.
        """
        log_p = F.logsigmoid(conditional)
        logits = conditional
        for before, later in self.steps:
            of_before, of_later = head_of_task[before], head_of_task[later]
            product = log_p[:, of_before] + log_p[:, of_later]
            log_p = log_p.index_copy(1, of_later, product)
            # log(1 - p), where p is kept from rounding to 1.
            limit = -torch.finfo(product.dtype).eps
            logits = logits.index_copy(1, of_later, product - torch.log(-torch.expm1(product.clamp(max=limit))))
        return logits

    def in_entire_space(self, batch: Batch) -> Batch:
        """The batch with the pairs that chains imply: where the task before did not happen, the later one did not."""
        tasks = self.previous.numel()
        for before, later in self.steps:
            keys = batch.pair_rows * tasks + batch.pair_tasks
            after = torch.full_like(self.previous, -1)
            after[before] = torch.tensor(later, device=after.device)
            known = ((after[batch.pair_tasks] >= 0) & (batch.labels == 0)).nonzero().squeeze(1)
            implied = batch.pair_rows[known] * tasks + after[batch.pair_tasks[known]]
            implied = implied[~_find(keys, implied)[1]]
            keys, order = torch.sort(torch.cat([keys, implied]))
            labels = torch.cat([batch.labels, batch.labels.new_zeros(implied.numel())])[order]
            batch = replace(batch, pair_rows=keys // tasks, pair_tasks=keys % tasks, labels=labels)
        return batch

    def in_local_space(self, batch: Batch) -> Batch:
        """The batch without pairs of a task whose task before is known not to have happened."""
        before, later = self.linked_pairs(batch)
        kept = torch.ones(batch.pairs, dtype=torch.bool, device=batch.labels.device)
        kept[later[batch.labels[before] == 0]] = False
        return replace(
            batch, pair_rows=batch.pair_rows[kept], pair_tasks=batch.pair_tasks[kept], labels=batch.labels[kept]
        )


def _find(keys: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Where each wanted key stands in the ascending keys, and whether it does."""
    position = torch.searchsorted(keys, wanted)
    return position, torch.cat([keys, keys.new_full((1,), -1)])[position] == wanted


def needed(chains: Sequence[Sequence[int]], model: str) -> Sequence[Sequence[int]]:
    """The chains of a model that is made of them. Raises ValueError where there are none."""
    if not chains:
        raise ValueError(f"{model} predicts chains of tasks: set chains, such as chains: [[click, conversion]]")
    return chains
