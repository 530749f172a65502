"""Classical models of one task each, on the concept vectors under the task's mask: linear models and trees.

`evaluate` compares with them, `teach` makes soft targets with them, `train` may start a model's linear term from them.
"""

from pipeline.classical.linear import LinearModel, fit_linear

__all__ = ["LinearModel", "fit_linear"]
