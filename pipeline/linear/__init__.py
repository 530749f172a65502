"""Linear models of one task each, on the concept vectors under the task's mask.

`evaluate` compares with them, `train` may start a model's linear term from them.
"""

from pipeline.linear.fit import LinearModel, fit_linear

__all__ = ["LinearModel", "fit_linear"]
