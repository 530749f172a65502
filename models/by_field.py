"""Models that need fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.batch import Batch
from models.layers.embedding import field_weights
from models.layers.hits import Hits
from models.masked import MaskedModel
from models.masks import TaskMasks
from models.task import Task

_MOST_CONCEPTS = 1024


class FieldModel(MaskedModel):
    """A model that gets x by field: [views, fields, dim], each over the field's visible concepts and with their norm.

    A field of a row holds few concepts, hence the smaller norm_offset.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        masks: TaskMasks,
        fields: Tensor,
        *,
        embedding_dim: int = 16,
        norm_offset: float = 1.0,
        concept_fields: bool = False,
        **common: Any,
    ) -> None:
        """concept_fields: every concept is a field of its own, for a small vocabulary of features that are one field.

        `common`: the settings of MaskedModel.
        """
        super().__init__(tasks, masks, fields, embedding_dim=embedding_dim, norm_offset=norm_offset, **common)
        vocabulary = masks.vocabulary_size
        if concept_fields and vocabulary > _MOST_CONCEPTS:
            raise ValueError(f"concept_fields is for vocabularies of up to {_MOST_CONCEPTS}, not {vocabulary}")
        self.concept_fields = concept_fields
        self.field_count = vocabulary if concept_fields else int(fields.max()) + 1

    def pooled(self, batch: Batch, hits: Hits, scale: Tensor) -> Tensor:
        """x [rows + views, fields, dim]."""
        fields = torch.arange(self.field_count, device=self.fields.device) if self.concept_fields else self.fields
        norms = (self.norm_offset + field_weights(batch, hits, fields, self.field_count)).rsqrt().unsqueeze(2)
        return self.embedding.by_field(batch, hits, fields, self.field_count) * norms.to(scale.dtype)
