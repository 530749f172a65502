"""`train.readouts: prior`: trained towers of binary segments, put under a prior that they share (models/readouts)."""

from __future__ import annotations

import logging
import time

import torch
from torch import Tensor, nn

from models.ensemble import members_of
from models.mixture import ExpertMixture
from models.readouts import TaskRows, fit_readouts
from pipeline.shards.batches import scan_batches
from pipeline.train.context import Context

logger = logging.getLogger(__name__)

_BATCH_ROWS = 1024
_MAX_NUMBERS = 1 << 28
"""What is held at once: a tower's input for every row and task, a GiB. Of more rows a fit would see a part, where
training has seen all."""


@torch.no_grad()
def refit_readouts(model: nn.Module, context: Context) -> None:
    """Put the towers of binary tasks at their mode. Every rank does the same on the same rows.

    A support too large to be held keeps its trained towers: its tasks' own rows say where their weights lie.
    """
    began, rows = time.monotonic(), context.shards.manifest.splits["support"].rows
    model.eval()
    for member in members_of(model):
        assert isinstance(member, ExpertMixture)
        most = _MAX_NUMBERS // (len(member.tasks) * len(member.towers.last))
        if rows > most:
            logger.warning("train.readouts: the support has %d rows, over %d: read-outs stay as trained", rows, most)
            return
        by_task = _rows_of_tasks(member, context)
        if len(by_task) < 2:
            continue
        tasks = torch.tensor(sorted(by_task), device=context.device)
        heads = member.towers.heads_of_task[tasks, 0]
        weights, biases = member.towers.last[:, heads].t(), member.towers.bias[heads]
        weights, biases = fit_readouts([by_task[task] for task in sorted(by_task)], weights, biases)
        member.towers.last[:, heads] = weights.t().to(member.towers.last)
        member.towers.bias[heads] = biases.to(member.towers.bias)
    logger.info("read-outs fitted anew under their prior in %.1f s", time.monotonic() - began)


def _rows_of_tasks(member: ExpertMixture, context: Context) -> dict[int, TaskRows]:
    """What the towers of binary tasks with both classes read of the support."""
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for _, batch in scan_batches(context.shards, "support", _BATCH_ROWS):
        moved = batch.to(context.device)
        with context.autocast():
            given = member.task_inputs(moved)
            z = member.readout_inputs(given).float()
        offset = z.new_zeros(len(z)) if given.linear is None else given.linear[:, 0].float()
        parts.append((moved.pair_tasks, z, offset, moved.labels))
    if not parts:
        return {}
    tasks, z, offset, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    found = {}
    for index, task in enumerate(context.shards.tasks):
        own = tasks == index
        if task.kind == "binary" and len(labels[own].unique()) > 1:
            found[index] = TaskRows(z[own], offset[own], labels[own])
    return found
