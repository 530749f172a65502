"""Which shards a run learns from: those with labels, or the same with soft targets (`train.targets`)."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.shards.dataset import ShardSet, open_shards
from pipeline.shards.taught import is_taught, open_taught


def training_shards(config: Config, *, checksums: bool = True) -> ShardSet:
    """Raises UserError where they are missing, damaged, or taught from other shards than stand there now."""
    layout = Layout.of(config)
    if config.train.targets == "soft":
        return open_taught(layout, checksums=checksums)
    return open_shards(layout, checksums=checksums)


def open_labels(shards: ShardSet, layout: Layout) -> ShardSet:
    """The same shards with plain labels, for what can learn from nothing else."""
    return open_shards(layout, checksums=False) if is_taught(shards) else shards
