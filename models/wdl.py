"""Wide & Deep: a linear model beside a deep one (Cheng et al., DLRS 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from models.by_field import FieldModel
from models.layers.networks import Networks
from models.layers.towers import Towers
from models.masks import TaskMasks
from models.task import Task


class WideAndDeep(FieldModel):
    """logits_i = w_i' concepts + v_i' Deep([x_1 … x_F]) + b_i: the tasks share the deep part over all fields.

    Deep layers of 256, 128, 64 are MetaCon's (section 7). The wide part is `linear_term`.
    """

    towers: Towers

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        deep_widths: Sequence[int] = (256, 128, 64),
        linear_term: bool = True,
        **common: Any,
    ) -> None:
        """`common`: the settings of FieldModel."""
        super().__init__(tasks, masks, fields, linear_term=linear_term, **common)
        self.deep = Networks(1, self.field_count * self.embedding_dim, deep_widths, self.dropout)
        self.towers = Towers([task.outputs for task in tasks], self.deep.width, 0)
        self.finish(1, self.deep.width)

    def network(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [views, fields, dim]."""
        hidden = self.deep(x.flatten(1))
        return self.towers.of_one(hidden[0]), hidden
