"""What has to fit before any rank starts, so that a mistake costs seconds."""

from __future__ import annotations

import logging

from pipeline.config import Config
from pipeline.environment import check_slots, check_writable
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.shards.dataset import ShardSet
from pipeline.train.build import model_settings
from pipeline.train.distribution import inside_horovod
from pipeline.train.launchers import slots_of
from pipeline.train.steps import steps_per_epoch
from pipeline.train.targets import training_shards

logger = logging.getLogger(__name__)


def check(config: Config, ranks: int, checksums: bool = True) -> ShardSet:
    """The shards to train on, when everything fits.

    Raises UserError for missing or damaged shards, a model or setting that is not known, ranks that lanes, row
    groups or slots do not suffice for, an empty support and a working folder that cannot be written.
    """
    layout = Layout.of(config)
    shards = training_shards(config, checksums=checksums)
    model_settings(config, shards)
    check_writable(layout.workdir)
    support = shards.manifest.splits["support"]
    if support.rows == 0:
        raise UserError(f"{shards.folder}: no row in the support split; look at align.split, then align again")
    steps_per_epoch(shards, config.train, ranks)
    if not inside_horovod():
        check_slots(ranks, *slots_of(config))
    if shards.manifest.splits["validation"].rows == 0:
        logger.warning("no validation rows: the last epoch is kept, thresholds are chosen on rows of the support")
    elif config.train.select_by == "niche" and not any(task.group == "niche" for task in shards.manifest.tasks):
        logger.warning("train.select_by is niche, but no task is: the mean over all tasks picks the epoch")
    return shards
