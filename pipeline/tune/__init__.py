"""Tuning on validation: equal trials for each model; the best values for `jobs.compare` to pick up."""

from pipeline.tune.stage import run

__all__ = ["run"]
