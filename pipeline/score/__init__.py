"""Bulk scoring: every concept vector through the model, in long rows to the Delta table `predictions`.

stage.py        the stage: checks, one transaction for the run's rows, reach, summary
unscorable.py   rows that no model can score, and why
partition.py    Arrow batches of concept vectors → Arrow batches of predictions, in Spark's Python workers
heads.py        logits → what is written: one score a head, and its decision
"""

from pipeline.score.stage import run

__all__ = ["run"]
