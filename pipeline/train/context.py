"""What a rank trains on and with; fixed for a run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.config import Config
from pipeline.config.learning import Train
from pipeline.layout import Layout
from pipeline.shards.dataset import ShardSet
from pipeline.train.distribution import World
from pipeline.train.precision import autocast, choose_precision, device_of_rank


@dataclass(frozen=True)
class Context:
    """dtype: of matrix products; parameters and everything else are float32."""

    config: Config
    shards: ShardSet
    world: World
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, config: Config, shards: ShardSet, world: World) -> Context:
        device = device_of_rank(world.local_rank)
        return cls(config, shards, world, device, choose_precision(config.train.precision, device))

    @property
    def settings(self) -> Train:
        return self.config.train

    @property
    def layout(self) -> Layout:
        return Layout.of(self.config)

    def autocast(self) -> AbstractContextManager[Any]:
        return autocast(self.device, self.dtype)
