"""The processes that train one model together: one alone, or the ranks of Horovod.

Horovod's own DistributedOptimizer is not used: it reduces each gradient by itself as backward produces it, which
deadlocks where ranks differ in which parameters a batch touches (a task no row of this rank has) and clips before
the sum. Here all dense gradients lie in one flat buffer (pipeline/train/gradients.py), summed by one call a step:
the same calls in the same order on every rank whatever its rows hold, and one code path for any number of ranks.
"""

from __future__ import annotations

import json
import os
from typing import Any

import torch
from torch import Tensor


class World:
    """One process alone; `HorovodWorld` overrides what several do differently."""

    rank = 0
    size = 1
    local_rank = 0
    local_size = 1
    summed_bytes = 0
    """What this rank has given into sums: gradients, or parameters to be averaged. (A ring sends it about twice.)"""

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum_(self, tensor: Tensor) -> None:
        """Replace a dense tensor by its sum over ranks."""

    def sum_sparse(self, gradient: Tensor, name: str) -> Tensor:
        """The sum over ranks of a sparse COO gradient, coalesced."""
        return gradient.coalesce()

    def broadcast_(self, tensors: list[Tensor]) -> None:
        """Replace tensors by rank 0's."""

    def gather(self, tensor: Tensor) -> Tensor:
        """[sum of first dimensions, ...]: the tensors of all ranks, in rank order."""
        return tensor

    def share(self, value: Any) -> Any:
        """Rank 0's value, on every rank. What JSON can hold; what other ranks pass is ignored."""
        return value


class HorovodWorld(World):
    """The ranks of this Horovod job. Every method is to be called by all ranks in the same order.

    Where Horovod was built without NCCL, tensors of a GPU go through the CPU's memory.
    """

    def __init__(self) -> None:
        # A rank that imports slowly on a busy machine must not end the others: the default is 30 s.
        os.environ.setdefault("HOROVOD_GLOO_TIMEOUT_SECONDS", "300")
        import horovod.torch as hvd

        hvd.init()
        self._hvd = hvd
        self.rank, self.size = hvd.rank(), hvd.size()
        self.local_rank, self.local_size = hvd.local_rank(), hvd.local_size()

    def sum_(self, tensor: Tensor) -> None:
        staged = self._staged(tensor)
        self.summed_bytes += staged.numel() * staged.element_size()
        self._hvd.allreduce_(staged, op=self._hvd.Sum, name="sum")
        tensor.copy_(staged)

    def sum_sparse(self, gradient: Tensor, name: str) -> Tensor:
        staged = self._staged(gradient.coalesce())
        for part in (staged.indices(), staged.values()):
            self.summed_bytes += part.numel() * part.element_size()
        summed = self._hvd.sparse_allreduce_async(staged, name=name, op=self._hvd.Sum)()
        return summed.to(gradient.device).coalesce()

    def broadcast_(self, tensors: list[Tensor]) -> None:
        for index, tensor in enumerate(tensors):
            staged = self._staged(tensor)
            self._hvd.broadcast_(staged, root_rank=0, name=f"broadcast.{index}")
            tensor.copy_(staged)

    def gather(self, tensor: Tensor) -> Tensor:
        return self._hvd.allgather(self._staged(tensor).contiguous(), name="gather").to(tensor.device)

    def _staged(self, tensor: Tensor) -> Tensor:
        """The tensor itself, or a copy where Horovod can read it."""
        return tensor if self._hvd.nccl_built() else tensor.cpu()

    def share(self, value: Any) -> Any:
        content = json.dumps(value).encode("utf-8") if self.is_first else b""
        length = torch.tensor([len(content)])
        self._hvd.broadcast_(length, root_rank=0, name="share.length")
        buffer = torch.zeros(int(length), dtype=torch.uint8)
        if self.is_first:
            buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self._hvd.broadcast_(buffer, root_rank=0, name="share.content")
        return json.loads(buffer.numpy().tobytes())


def inside_horovod() -> bool:
    """Whether this process is a rank that horovodrun or horovod.spark started."""
    return "HOROVOD_RANK" in os.environ and "HOROVOD_SIZE" in os.environ


def join_world() -> World:
    """The world of this process."""
    return HorovodWorld() if inside_horovod() else World()
