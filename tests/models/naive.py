"""MetaAug as the paper writes it: each pair its own forward pass of the vector with its mask's concepts set to zero.

Plain loops over pairs, experts and layers, using only the model's parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.batch import Batch
from models.metaaug import MetaAug


def naive_logits(model: MetaAug, batch: Batch) -> Tensor:
    """[pairs, outputs]."""
    rows = []
    for row, task in zip(batch.pair_rows.tolist(), batch.pair_tasks.tolist(), strict=True):
        rows.append(_pair(model, batch, row, task))
    return torch.stack(rows) if rows else model.embedding.weight[:0, :1].expand(0, model.outputs)


def _pair(model: MetaAug, batch: Batch, row: int, task: int) -> Tensor:
    vector = torch.zeros(model.masks.vocabulary_size, dtype=model.embedding.weight.dtype)
    entries = slice(int(batch.row_offsets[row]), int(batch.row_offsets[row + 1]))
    vector[batch.concept_ids[entries]] = batch.concept_weights[entries].to(vector.dtype)
    mask = int(model.masks.task_mask[task])
    first, last = model.masks.mask_offsets[mask : mask + 2].tolist()
    vector[model.masks.mask_concepts[first:last]] = 0.0
    vector = vector / torch.sqrt(model.norm_offset + vector.sum())
    x = vector @ model.embedding.weight

    unit = x[: model.gates.input_width]
    if model.gates.hidden:
        unit = torch.relu(x @ model.gates.first[:, task] + model.gates.first_bias[task])
    gate = torch.softmax(model.gates.last[task] @ unit + model.gates.last_bias[task], 0)

    gated = torch.zeros(())
    for e in range(model.experts.experts):
        stream = x
        for weight, bias in zip(model.experts.weights, model.experts.biases, strict=True):
            out = torch.relu(stream @ weight[e] + bias[e, 0])
            stream = stream + out if stream.shape == out.shape else out
        if model.shared is not None:
            stream = stream @ model.shared.projection[e] + x @ model.shared.skip
        gated = gated + gate[e] * stream
    if model.towers.hidden:
        gated = torch.relu(gated @ model.towers.first[:, :, task] + model.towers.first_bias[:, task])

    heads = (model.towers.head_tasks == task).nonzero().squeeze(1)
    logits = gated @ model.towers.last[:, heads] + model.towers.bias[heads]
    if model.linear is not None:
        logits = logits + vector @ model.linear.weight[:, heads]
    return torch.nn.functional.pad(logits, (0, model.outputs - heads.numel()))
