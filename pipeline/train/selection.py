"""Which epoch's weights are kept: the one that validates best (never the test split)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline.config.learning import Train
from pipeline.train.checkpoint import Progress
from pipeline.train.validation import Quality


class Selection:
    """The best weights so far, and when to stop. Where nothing is to validate, the last epoch is the best."""

    def __init__(self, settings: Train) -> None:
        self._settings = settings
        self.weights: dict[str, Tensor] = {}

    def offer(self, model: nn.Module, quality: Quality, progress: Progress) -> None:
        """An epoch is over: keep its weights if it is the best, and note that in `progress`."""
        by = self._settings.select_by
        value = None if by == "last" else quality.selected(by)
        if value is None or progress.best_quality is None or value > progress.best_quality:
            progress.best_quality, progress.best_epoch, progress.stale_epochs = value, progress.epoch, 0
            progress.best = dataclasses.asdict(quality)
            self.weights = {name: tensor.clone() for name, tensor in moving_tensors(model).items()}
        else:
            progress.stale_epochs += 1

    def is_over(self, progress: Progress) -> bool:
        """All epochs are done, or patience is at its end."""
        patience = self._settings.patience
        return progress.epoch >= self._settings.epochs or (patience is not None and progress.stale_epochs >= patience)


def moving_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What training changes, by name: parameters, and floating-point buffers that follow the schedule."""
    buffers = {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}
    return {name: tensor.detach() for name, tensor in [*model.named_parameters(), *buffers.items()]}


@torch.no_grad()
def load_moving(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Restore what `moving_tensors` gave."""
    for name, tensor in moving_tensors(model).items():
        tensor.copy_(values[name])
