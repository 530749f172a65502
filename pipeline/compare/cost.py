"""What a model costs (MetaCon's RQ5): parameters, counted operations, seconds a row."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.batch import Batch

ROWS, _ROUNDS = 256, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """flops_per_row: multiply-adds of matrix products for all tasks of a row, each counted as two operations, as
    torch's counter has them (table look-ups and element-wise work are not in it). row_microseconds: of a forward pass
    for all tasks over `ROWS` rows on one thread, median of some.
    """

    parameters: int
    network_parameters: int
    flops_per_row: float
    row_microseconds: float

    def facts(self) -> dict[str, Any]:
        return asdict(self)


@torch.inference_mode()
def measure_cost(model: nn.Module, rows: Batch, tasks: int) -> Cost:
    """The cost of scoring these rows for all tasks. Tables over the vocabulary are not in `network_parameters`."""
    model = model.eval()
    batch = rows.with_all_tasks(tasks)
    counter = FlopCounterMode(display=False)
    with counter:
        model(batch)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = [_timed(model, batch) for _ in range(_ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    sizes = [parameter.numel() for parameter in model.parameters()]
    return Cost(
        parameters=sum(sizes),
        network_parameters=sum(sizes) - sum(_table_sizes(model)),
        flops_per_row=counter.get_total_flops() / max(1, batch.rows),
        row_microseconds=statistics.median(seconds) / max(1, batch.rows) * 1e6,
    )


def _timed(model: nn.Module, batch: Batch) -> float:
    start = time.perf_counter()
    model(batch)
    return time.perf_counter() - start


def _table_sizes(model: nn.Module) -> Sequence[int]:
    """Of parameters owned by modules that hold a row a concept (they say `sparse`, models/layers/embedding.py)."""
    return [
        parameter.numel()
        for module in model.modules()
        if hasattr(module, "sparse")
        for parameter in module.parameters(recurse=False)
    ]
