"""How ranks come to one model: gradients summed at every step, or parameters averaged now and then (semi-synchronous).

train.sync_every H = 1   every step takes the sum of all ranks' gradients: ranks hold the same parameters at any time
H > 1                    a rank takes H steps along its own gradients (times the number of ranks, to stand for all),
                         then parameters are averaged over ranks: at every H-th step of an epoch and at its end. The
                         optimizer's moments stay each rank's own (Local SGD: Stich, ICLR 2019); a run that goes on
                         from a checkpoint has rank 0's on all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.train.distribution import World
from pipeline.train.gradients import Gradients


class Exchange:
    """At every step (or one process alone)."""

    periodic = False

    def __init__(self, gradients: Gradients, world: World, facts: int) -> None:
        """facts: how many numbers each step notes."""
        self._gradients, self._world = gradients, world
        self._sums, self._steps = [0.0] * facts, 0

    def combine(self) -> None:
        """Make of this rank's gradients those that its parameters move along."""
        self._gradients.sum_over(self._world)

    def note(self, facts: Sequence[float]) -> None:
        """After parameters have moved: what the step tells, alike on all ranks."""
        self._sums = [total + fact for total, fact in zip(self._sums, facts, strict=True)]
        self._steps += 1

    def synchronise(self) -> list[float]:
        """All ranks hold the same parameters then; means of what was noted since the last time."""
        means = [total / self._steps for total in self._sums]
        self._sums, self._steps = [0.0] * len(means), 0
        return means


class PeriodicExchange(Exchange):
    """Now and then. Of tables with sparse gradients only the rows that any rank touched are sent."""

    periodic = True

    def __init__(
        self,
        gradients: Gradients,
        world: World,
        facts: int,
        dense: Sequence[nn.Parameter],
        sparse: Sequence[nn.Parameter],
    ) -> None:
        super().__init__(gradients, world, facts)
        self._dense, self._sparse = list(dense), list(sparse)
        self._agreed = [parameter.detach().clone() for parameter in self._sparse]
        """Tables as all ranks had them when they last agreed."""
        self._touched = [torch.zeros(len(table), dtype=torch.bool, device=table.device) for table in self._agreed]

    def start(self) -> None:
        """Parameters have been loaded, the same on all ranks."""
        for table, parameter in zip(self._agreed, self._sparse, strict=True):
            table.copy_(parameter.detach())

    def combine(self) -> None:
        self._gradients.sum_over(World())
        self._gradients.scale(self._world.size)

    def note(self, facts: Sequence[float]) -> None:
        """facts: of this rank's rows; their sums over ranks are told."""
        super().note(facts)
        for touched, parameter in zip(self._touched, self._sparse, strict=True):
            if parameter.grad is not None:
                touched[parameter.grad.indices()[0]] = True

    @torch.no_grad()
    def synchronise(self) -> list[float]:
        own = super().synchronise()
        size = self._world.size
        device = (self._dense or self._sparse)[0].device
        told = torch.tensor(own, device=device) * size  # a sum, where parameters are averaged
        flat = torch.cat([*(parameter.detach().flatten() for parameter in self._dense), told]).div_(size)
        self._world.sum_(flat)
        start = 0
        for parameter in self._dense:
            parameter.copy_(flat[start : start + parameter.numel()].view_as(parameter))
            start += parameter.numel()
        for index in range(len(self._sparse)):
            self._average_rows(index)
        return [float(value) for value in flat[start:]]

    def _average_rows(self, index: int) -> None:
        """Rows that only some ranks touched are where they were on the others, and count as such."""
        parameter, agreed, touched = self._sparse[index], self._agreed[index], self._touched[index]
        rows = touched.nonzero().squeeze(1)
        moved = (parameter.detach()[rows] - agreed[rows]) / self._world.size
        mine = torch.sparse_coo_tensor(rows.unsqueeze(0), moved, parameter.shape)
        moved_by_all: Tensor = self._world.sum_sparse(mine, name=f"moved.{index}")
        everyone = moved_by_all.indices()[0]
        agreed.index_add_(0, everyone, moved_by_all.values())
        parameter[everyone] = agreed[everyone]
        touched.zero_()
