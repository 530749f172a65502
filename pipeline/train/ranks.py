"""What each rank does, from open shards to the model folder."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import torch

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.shards.dataset import ShardSet
from pipeline.train.build import start_model
from pipeline.train.checkpoint import fingerprint, latest_checkpoint, read_checkpoint, remove_checkpoints
from pipeline.train.context import Context
from pipeline.train.distribution import World, join_world
from pipeline.train.finish import choose_thresholds, write_results
from pipeline.train.loop import Loop, Watch
from pipeline.train.objective import Objective
from pipeline.train.readouts import refit_readouts
from pipeline.train.space import TrainingSpace
from pipeline.train.start import label_statistics
from pipeline.train.targets import training_shards

logger = logging.getLogger(__name__)

ERROR_FILE = "train_error.txt"
"""Under the working folder, which all ranks share: the message of a rank that met bad input."""


def train(config: Config, shards: ShardSet, world: World, watch: Watch | None = None) -> None:
    """Train one model as one rank of a world; rank 0 writes it. watch: see Loop.run.

    Raises UserError for settings that the model refuses and for a loss that is not finite.
    """
    torch.set_num_threads(config.train.threads or max(1, torch.get_num_threads() // world.local_size))
    context = Context.of(config, shards, world)
    statistics = label_statistics(shards, TrainingSpace(config, shards).pairs)
    model = start_model(context, statistics)
    objective = Objective(context, statistics)
    loop = Loop(model, objective, context, fingerprint(config, shards.manifest.model_dump(), world.size))
    if config.train.resume:
        _resume(loop, context)
    loop.run(watch)
    if config.train.readouts == "prior":
        refit_readouts(model, context)
        loop.judge_again()
    thresholds = choose_thresholds(model, objective, context)
    if world.is_first:
        write_results(model, loop, statistics, thresholds, context)
        remove_checkpoints(context.layout.checkpoints)


def _resume(loop: Loop, context: Context) -> None:
    """All ranks take the checkpoint that rank 0 finds, so that they agree."""
    root = context.layout.checkpoints
    found = latest_checkpoint(root, loop.progress.fingerprint) if context.world.is_first else None
    name = context.world.share(found.name if found else None)
    if name is not None:
        loop.resume(read_checkpoint(root / name))
        logger.info("going on from %s", root / name)


def run_rank(config_json: str) -> None:
    """Train as the rank that this process is. The launcher has verified the shards' checksums.

    Raises UserError after leaving its message for the launcher.
    """
    config = Config.model_validate_json(config_json)
    layout = Layout.of(config)
    try:
        train(config, training_shards(config, checksums=False), join_world())
    except UserError as error:
        leave_error(layout.workdir / ERROR_FILE, str(error))
        raise


def run_spark_rank(config_json: str) -> None:
    """The same, in a Spark task; bad input is left for the launcher, not raised: Spark would retell it at length."""
    with contextlib.suppress(UserError):
        run_rank(config_json)


def leave_error(path: Path, message: str) -> None:
    """The message of the first rank that fails stays."""
    with contextlib.suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
        file.write(message)
