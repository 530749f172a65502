"""What a model costs (MetaCon's RQ5): parameters, counted operations, seconds a row, memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models.batch import Batch

ROWS, _ROUNDS = 256, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """flops_per_row: multiply-adds of matrix products for all tasks of a row, each counted as two operations, as
    torch's counter has them (table look-ups and element-wise work are not in it). row_microseconds: of a forward pass
    for all tasks over `ROWS` rows on one thread, which is what a mapper has, median of some. scoring_bytes and
    training_bytes: the most that was held at a time, beside the parameters, in that pass and in one with its gradients.
    """

    parameters: int
    network_parameters: int
    flops_per_row: float
    row_microseconds: float
    scoring_bytes: int
    training_bytes: int

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def measure_cost(model: nn.Module, rows: Batch, tasks: int) -> Cost:
    """The cost of scoring these rows for all tasks. Tables over the vocabulary are not in `network_parameters`."""
    model = model.eval()
    batch = rows.with_all_tasks(tasks)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            # Fused attention is one operation that the counter knows nothing of; written out it is matrix products.
            with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                model(batch)
            seconds = [_timed(model, batch) for _ in range(_ROUNDS)]
            scoring_bytes = peak_bytes(lambda: model(batch))
        training_bytes = peak_bytes(lambda: model(batch).square().mean().backward())
    finally:
        torch.set_num_threads(threads)
        model.zero_grad(set_to_none=True)
    sizes = [parameter.numel() for parameter in model.parameters()]
    return Cost(
        parameters=sum(sizes),
        network_parameters=sum(sizes) - sum(_table_sizes(model)),
        flops_per_row=counter.get_total_flops() / max(1, batch.rows),
        row_microseconds=statistics.median(seconds) / max(1, batch.rows) * 1e6,
        scoring_bytes=scoring_bytes,
        training_bytes=training_bytes,
    )


def peak_bytes(work: Callable[[], object]) -> int:
    """The most bytes of tensors on the CPU that were held at a time, of those made while it worked."""
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=cpu, profile_memory=True, acc_events=True) as profile:
        work()
    assert profile.profiler is not None
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))
    return max(held, default=0)


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
