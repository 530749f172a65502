"""The linear term of a model, started from the linear model that fits each task best alone."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torch import Tensor
from tqdm import tqdm

from models.masked import MaskedModel
from pipeline.classical import LinearModel, fit_linear
from pipeline.classical.views import side_of
from pipeline.shards.batches import load_csr
from pipeline.shards.dataset import ShardSet
from pipeline.train.start import LabelStatistics

logger = logging.getLogger(__name__)


def fit_tasks(shards: ShardSet, offset: float, max_rows: int, threads: int | None = None) -> list[LinearModel]:
    """Every task's linear model of the support's concepts under the task's mask, its strength chosen on validation.

    offset: the model's `norm_offset`. max_rows: of the support and of validation at most so many, a fair sample.
    threads: default one a core.
    """
    began = time.monotonic()
    support, validation = (load_csr(shards, split, max_rows) for split in ("support", "validation"))
    masked_concepts = shards.masked_concepts()

    def fit(task_id: int) -> LinearModel:
        task, masked = shards.tasks[task_id], masked_concepts[task_id]
        on_support, on_validation = side_of(support, task_id, masked), side_of(validation, task_id, masked)
        return fit_linear(task.kind, task.outputs, on_support, on_validation, offset)

    tasks = range(len(shards.tasks))
    workers = threads or len(os.sched_getaffinity(0))
    with warnings.catch_warnings(), threadpool_limits(limits=1), ThreadPoolExecutor(workers) as pool:
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = list(tqdm(pool.map(fit, tasks), "linear models", len(tasks), disable=not sys.stderr.isatty()))
    logger.info("%d linear models to start from in %.1f s", len(found), time.monotonic() - began)
    return found


@torch.no_grad()
def start_linear(model: MaskedModel, fitted: list[LinearModel], statistics: LabelStatistics) -> None:
    """Set the model's linear term and output biases to the linear models of its tasks.

    Regression labels are standardised in training, so their weights are too. A class that the support lacks keeps
    the bias that `start_from_priors` gave it.
    """
    assert model.linear is not None
    weights, biases = [], []
    for task, linear in enumerate(fitted):
        shift, scale = float(statistics.shift[task]), float(statistics.scale[task])
        weights.append(_tensor(linear.weights) / scale)
        biases.append((_tensor(linear.biases) - shift) / scale)
    model.linear.weight.copy_(torch.cat(weights, dim=1))
    bias = torch.cat(biases).to(model.towers.bias)
    model.towers.bias.copy_(torch.where(bias.isfinite(), bias, model.towers.bias))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).float()
