"""Models that need fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from models.masked import MaskedModel
from models.masks import TaskMasks
from models.task import Task


class FieldModel(MaskedModel):
    """A model that gets x by field. A field of a row holds few concepts, hence the smaller norm_offset."""

    by_field = True

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        embedding_dim: int = 16,
        norm_offset: float = 1.0,
        **common: Any,
    ) -> None:
        """`common`: the settings of MaskedModel."""
        super().__init__(tasks, masks, fields, embedding_dim=embedding_dim, norm_offset=norm_offset, **common)
