"""Thin entries, one a stage: `python -m jobs.X` or `spark-submit jobs/X.py`."""
