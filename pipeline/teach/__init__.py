"""Teach: classical models of each segment → soft targets of the support's rows (`train.targets: soft`)."""

from pipeline.teach.stage import is_needed, run

__all__ = ["is_needed", "run"]
