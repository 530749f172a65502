"""DCN-Mix: DCN v2 with a mixture of low-rank crosses (Wang et al., WWW 2021, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from models.dcn import DCN
from models.layers.cross import LowRankCrossLayers
from models.masked import at_least
from models.masks import TaskMasks
from models.task import Task


class DCNMix(DCN):
    """DCN whose cross matrices are mixtures of `experts` of a low rank.

    Sizes are MetaCon's (section 7): 4 experts of rank 32, deep layers of 256, 128, 64, 2 crosses of dimension 100.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        deep_widths: Sequence[int] = (256, 128, 64),
        experts: int = 4,
        rank: int = 32,
        **common: Any,
    ) -> None:
        """`common`: the other settings of DCN."""
        at_least(1, experts=experts, rank=rank)
        self._experts, self._rank = experts, rank
        super().__init__(tasks, masks, fields, deep_widths=deep_widths, **common)

    def make_cross(self, width: int, layers: int) -> nn.Module:
        """The cross part."""
        return LowRankCrossLayers(width, layers, self._experts, self._rank)
