"""Comparison: every contender x every seed on the same shards, one table and one page."""

from pipeline.compare.stage import run

__all__ = ["run"]
