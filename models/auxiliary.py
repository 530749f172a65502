"""The auxiliary masked-concept tasks (paper section 6): was this concept among those hidden from the row?

Task x: is concept x present, told from a vector without x (its causal mask). Hiding a share of each row's concepts
makes one view serve all these tasks: hidden concepts are positives, absent ones negatives, and visible ones
are no examples, as the model sees the answer.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from models.batch import Batch
from models.hiding import HiddenConcepts


def auxiliary_loss(logits: Tensor, visible: Batch, hidden: HiddenConcepts) -> Tensor:
    """The mean cross-entropy over hidden (1) and absent (0) concepts; 0 where there are none.

    logits [rows, A]: of concepts 0..A-1, from the visible rows.
    """
    concepts = logits.shape[1]
    rows, ids = visible.row_of_entry(), visible.concept_ids
    seen = ids < concepts
    # softplus(-inf) = 0, and no gradient reaches a visible concept.
    counted = logits.index_put((rows[seen], ids[seen]), logits.new_tensor(float("-inf")))
    targets = hidden.concept_ids < concepts
    positive = logits[hidden.rows[targets], hidden.concept_ids[targets]]
    examples = logits.numel() - seen.sum()
    return (F.softplus(counted).sum() - positive.sum()) / examples.clamp(min=1)
