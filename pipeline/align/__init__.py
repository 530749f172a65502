"""Align: segments → tasks with labels and splits → causal masks → task-mixed shards."""

from pipeline.align.stage import run

__all__ = ["run"]
