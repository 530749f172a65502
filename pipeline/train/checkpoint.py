"""Checkpoints: everything a run needs to go on from a step, written whole, read without pickle.

    checkpoints/
      step-00001500-3f9a…/        step, and fingerprint of what the run trains on
        state.safetensors         parameters, optimizer, average, best parameters so far, by prefix
        state.json                where the run is

No random state is kept: what a step draws is a function of (seed, epoch, step, lane or rank).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.config import Config
from pipeline.errors import UserError

logger = logging.getLogger(__name__)

_KEPT = 2
_PREFIX = "step-"
_WRITING = ".writing-"
_TENSORS = "state.safetensors"
_PROGRESS = "state.json"
_NOT_LEARNING = {"launcher", "ranks", "hosts", "threads", "reader", "checkpoint_every", "resume"}
"""Settings of `train` that change how a run is carried out, not what is learnt."""


class Progress(BaseModel):
    """Where a run is. `step` counts all steps taken, `epoch` and `epoch_step` say where the next one is."""

    model_config = ConfigDict(extra="forbid")

    fingerprint: str
    step: int = 0
    epoch: int = 0
    epoch_step: int = 0
    epoch_loss: float = 0.0
    """The sum of the losses of this epoch's steps."""
    best_epoch: int | None = None
    best_quality: float | None = None
    best: dict[str, Any] = {}
    """The fields of the best epoch's Quality (pipeline/train/validation.py)."""
    stale_epochs: int = 0
    """Epochs since the best one."""
    seconds: float = 0.0
    """Of training, over all runs that led here."""


@dataclass(frozen=True)
class Checkpoint:
    progress: Progress
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under `prefix/`, without it."""
        start = prefix + "/"
        return {name.removeprefix(start): tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def fingerprint(config: Config, manifest: Mapping[str, Any], ranks: int = 1) -> str:
    """A hash of what a run learns from: shards, model and training settings; how many ranks train it only where they
    take steps by themselves (sync_every above 1), for then it matters."""
    content = {
        "train": config.train.model_dump(mode="json", exclude=_NOT_LEARNING),
        "model": config.model.model_dump(mode="json"),
        "chains": config.chains,
        "manifest": manifest,
        "ranks": ranks if config.train.sync_every > 1 else None,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()[:12]


def write_checkpoint(root: Path, progress: Progress, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write a checkpoint in one step and keep the run's last two. Raises UserError when root cannot be written."""
    final = root / f"{_PREFIX}{progress.step:08d}-{progress.fingerprint}"
    temporary = root / f"{_WRITING}{final.name}-{os.getpid()}"
    tensors = {
        f"{prefix}/{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for prefix, part in parts.items()
        for name, tensor in part.items()
    }
    try:
        root.mkdir(parents=True, exist_ok=True)
        for left_over in root.glob(f"{_WRITING}*"):
            shutil.rmtree(left_over)
        temporary.mkdir()
        save_file(tensors, temporary / _TENSORS)
        (temporary / _PROGRESS).write_text(progress.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if final.exists():
            shutil.rmtree(final)
        os.replace(temporary, final)
        for old in _folders(root, progress.fingerprint)[_KEPT:]:
            shutil.rmtree(old)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{root}: the checkpoint of step {progress.step} cannot be written: {error}") from None


def latest_checkpoint(root: Path, of_fingerprint: str) -> Path | None:
    """The run's newest checkpoint that can be read; damaged ones and those of other runs are told of, not used."""
    mine = _folders(root, of_fingerprint)
    if not mine and _folders(root, "*"):
        logger.warning("%s: checkpoints of another configuration or other shards are not resumed from", root)
    for folder in mine:
        try:
            read_checkpoint(folder)
        except UserError as error:
            logger.warning("passed over: %s", error)
        else:
            return folder
    return None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Raises UserError where the folder holds no whole checkpoint."""
    try:
        progress = Progress.model_validate_json((folder / _PROGRESS).read_text(encoding="utf-8"))
        return Checkpoint(progress, load_file(folder / _TENSORS))
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{folder}: not a whole checkpoint ({error}); remove the folder") from None


def remove_checkpoints(root: Path) -> None:
    """Remove all checkpoints under root, of other configurations too, finished or half written."""
    for folder in [*_folders(root, "*"), *root.glob(f"{_WRITING}*")]:
        shutil.rmtree(folder)


def _folders(root: Path, of_fingerprint: str) -> list[Path]:
    """Finished checkpoints, newest first."""
    return sorted(root.glob(f"{_PREFIX}*-{of_fingerprint}"), reverse=True)
