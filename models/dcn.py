"""DCN v2: feature crosses of full rank beside a deep network (Wang et al., WWW 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.by_field import FieldModel
from models.layers.cross import CrossLayers
from models.layers.networks import Networks
from models.layers.towers import Towers
from models.masked import at_least
from models.masks import TaskMasks
from models.task import Task


class DCN(FieldModel):
    """logits_i = w_i' [Cross(x_0), Deep(x_0)] + b_i: a head a task on a shared cross and deep part, in parallel.

    x_0 = P [x_1 … x_F] brings the fields to `cross_width`. Sizes are MetaCon's (section 7): deep layers of 384, 128,
    64, 2 crosses of dimension 100, read as the width that the crosses work in.
    """

    towers: Towers

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        deep_widths: Sequence[int] = (384, 128, 64),
        cross_layers: int = 2,
        cross_width: int = 100,
        **common: Any,
    ) -> None:
        """`common`: the settings of FieldModel."""
        super().__init__(tasks, masks, fields, **common)
        at_least(1, cross_layers=cross_layers, cross_width=cross_width)
        self.projection = nn.Linear(self.field_count * self.embedding_dim, cross_width)
        self.cross = self.make_cross(cross_width, cross_layers)
        self.deep = Networks(1, cross_width, deep_widths, self.dropout)
        width = cross_width + self.deep.width
        self.towers = Towers([task.outputs for task in tasks], width, 0)
        self.finish(1, width)

    def make_cross(self, width: int, layers: int) -> nn.Module:
        """The cross part."""
        return CrossLayers(width, layers)

    def network(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [views, fields, dim]."""
        x0 = self.projection(x.flatten(1))
        hidden = torch.cat([self.cross(x0), self.deep(x0)[0]], dim=1)
        return self.towers.of_one(hidden), hidden.unsqueeze(0)
