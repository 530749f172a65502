"""A loss that is not a finite number: which tasks it comes from."""

from __future__ import annotations

import torch

from models.batch import Batch
from pipeline.errors import UnfitValues
from pipeline.train.checkpoint import Progress
from pipeline.train.context import Context
from pipeline.train.objective import Loss, tasks_not_finite


def not_finite(context: Context, progress: Progress, loss: Loss | None, visible: Batch | None) -> UnfitValues:
    """What to raise. All ranks come here at the same step, for they look at the same sums.

    loss, visible: of this rank's own step that was not finite, if it had one.
    """
    names = [task.name for task in context.shards.tasks]
    bad = torch.zeros(len(names), device=context.device)
    if loss is not None and visible is not None:
        bad = tasks_not_finite(loss.per_pair, visible, len(names))
    context.world.sum_(bad)
    guilty = [name for name, count in zip(names, bad.tolist(), strict=True) if count]
    shown = ", ".join(guilty[:5]) + (f" and {len(guilty) - 5} more" if len(guilty) > 5 else "")
    which = f"of task {shown}" if guilty else "of no single task: a gradient or an auxiliary task overflowed"
    return UnfitValues(
        f"training stopped at step {progress.step - 1} (epoch {progress.epoch + 1}): the loss is not a "
        f"finite number, {which}; look for labels or weights that are not finite, or lower train.learning_rate; "
        f"the last good checkpoint is kept in {context.layout.checkpoints}"
    )
