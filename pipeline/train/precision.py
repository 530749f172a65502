"""Where and in which number format a rank computes."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

logger = logging.getLogger(__name__)

_PROBE_SIZE = 256
_PROBE_REPEATS = 5


def device_of_rank(local_rank: int) -> torch.device:
    """The rank's own GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank % torch.cuda.device_count())
    return torch.device("cpu")


def choose_precision(setting: Literal["auto", "float32", "bfloat16"], device: torch.device) -> torch.dtype:
    """auto: bfloat16 on a GPU that has it, float32 elsewhere: CPUs without bfloat16 units emulate it, far slower."""
    if setting == "float32":
        return torch.float32
    has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if setting == "bfloat16" and not has_it:
        ratio = _slowdown(device)
        if ratio > 1:
            logger.warning("train.precision bfloat16 is %.1f times as slow as float32 on this %s", ratio, device.type)
        return torch.bfloat16
    return torch.bfloat16 if has_it else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Matrix products in `dtype`, everything else in float32. A new context for each use."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def _slowdown(device: torch.device) -> float:
    """How many times as long a matrix product takes in bfloat16 as in float32."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(_PROBE_SIZE, _PROBE_SIZE, dtype=dtype, device=device)
        matrix @ matrix
        start = time.perf_counter()
        for _ in range(_PROBE_REPEATS):
            float((matrix @ matrix)[0, 0])
        seconds[dtype] = time.perf_counter() - start
    return seconds[torch.bfloat16] / seconds[torch.float32]
