"""MetaAug as the paper writes it: each pair its own forward pass of the vector with its mask's concepts set to zero.

Plain loops over pairs, experts and layers, using only the model's parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.batch import Batch
from models.layers.cross import CrossLayers
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
    crosses = _crosses(model, vector)
    vector = vector / torch.sqrt(model.norm_offset + vector.sum())
    x = torch.cat([vector @ model.embedding.weight, crosses])

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
        else:
            stream = torch.cat([stream, crosses])
        gated = gated + gate[e] * stream
    if model.towers.hidden:
        gated = torch.relu(gated @ model.towers.first[:, :, task] + model.towers.first_bias[:, task])

    heads = (model.towers.head_tasks == task).nonzero().squeeze(1)
    logits = gated @ model.towers.last[:, heads] + model.towers.bias[heads]
    if model.linear is not None:
        logits = logits + vector @ model.linear.weight[:, heads]
    return torch.nn.functional.pad(logits, (0, model.outputs - heads.numel()))


def _crosses(model: MetaAug, vector: Tensor) -> Tensor:
    """[cross width] of a masked vector; of length 0 for a model without."""
    if model.crosses is None:
        return vector[:0]
    by_field = []
    for field in range(int(model.fields.max()) + 1):
        own = vector * (model.fields == field)
        by_field.append(own @ model.embedding.weight / torch.sqrt(1 + own.sum()))
    x0 = model.crosses.projection.weight @ torch.cat(by_field) + model.crosses.projection.bias
    x, cross = x0, model.crosses.cross
    if isinstance(cross, CrossLayers):
        for weight, bias in zip(cross.weights, cross.biases, strict=True):
            x = x0 * (x @ weight + bias) + x
        return x
    for layer, bias in enumerate(cross.biases):
        shares, mixed = torch.softmax(x @ cross.gates[layer], 0), torch.zeros_like(x0)
        for i in range(len(shares)):
            unit = torch.tanh(torch.tanh(x @ cross.down[layer][i]) @ cross.core[layer][i])
            mixed = mixed + shares[i] * x0 * (unit @ cross.up[layer][i] + bias)
        x = mixed + x
    return x
