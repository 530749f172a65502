"""What the gates of single pairs make of the experts: sum_e g_e(pair) h_e(view of the pair)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def weighed_sums(experts: Tensor, gates: Tensor, views: Tensor) -> Tensor:
    """experts [experts, views, width], gates [pairs, experts], the view of each pair [pairs] -> [pairs, width].

    As bags over a table of all experts' views, on a CPU: no [experts, pairs, width] tensor is made on the way.
    """
    if experts.is_cuda:
        return (experts.index_select(1, views) * gates.t().unsqueeze(2)).sum(0)
    count, view_count, width = experts.shape
    first = torch.arange(0, count * view_count, view_count)
    table = experts.reshape(count * view_count, width)
    return F.embedding_bag(views[:, None] + first, table, mode="sum", per_sample_weights=gates.to(table.dtype))
