"""Evaluation on the query split, and the report.

stage.py        the stage: shards and model folder in, report out; no Spark
predict.py      the model's scores of every pair, its gates
metrics.py      the paper's Table 1, calibration, multiclass, regression
views.py        what a baseline sees: a task's rows under its mask
linear.py, trees.py, baselines.py, cache.py   logistic regression and LightGBM a segment
attention.py, selection.py   what the model looks at, and their plots
oracle.py       the true probabilities of simulated data
results.py      a record a segment, means, gap closed, sign test
console.py      the table in the terminal
report.py, page.py, template.html   report.html, segments.csv, metrics.json
style.py, plots.py, history_plots.py   the figures
"""

from pipeline.evaluate.stage import run

__all__ = ["run"]
