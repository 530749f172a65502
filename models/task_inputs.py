"""What stands still of a mixture of experts while only gates and towers are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TaskInputs:
    """By pair: x [pairs, dim], experts [experts, pairs, width], tasks [pairs], and where the model has them:

    passing [pairs, width], which towers read beside the weighed experts, and linear [pairs, outputs].
    """

    x: Tensor
    experts: Tensor
    passing: Tensor | None
    linear: Tensor | None
    tasks: Tensor

    def take(self, pairs: Tensor) -> TaskInputs:
        """The pairs at these places."""
        return self._each(lambda values, axis: values.index_select(axis, pairs))

    def between(self, start: int, stop: int) -> TaskInputs:
        """The pairs from one place to another, as views."""
        return self._each(lambda values, axis: values.narrow(axis, start, min(stop, len(self.tasks)) - start))

    def weighed(self, gates: Tensor) -> Tensor:
        """gates [experts, pairs] -> [pairs, width]: what the towers read."""
        sums = (self.experts * gates.unsqueeze(2)).sum(0)
        return sums if self.passing is None else torch.cat([sums, self.passing], dim=1)

    def _each(self, part: Callable[[Tensor, int], Tensor]) -> TaskInputs:
        passing = None if self.passing is None else part(self.passing, 0)
        linear = None if self.linear is None else part(self.linear, 0)
        return TaskInputs(part(self.x, 0), part(self.experts, 1), passing, linear, part(self.tasks, 0))
