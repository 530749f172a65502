"""A model whose linear term starts from logistic regression begins where that ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.classical.views import side_of
from pipeline.config import load_config
from pipeline.errors import UserError
from pipeline.shards.batches import load_csr, scan_batches
from pipeline.shards.dataset import open_folder
from pipeline.train.build import check_model, start_model
from pipeline.train.context import Context
from pipeline.train.distribution import World
from pipeline.train.linear_start import fit_tasks
from tests.pipeline.train.worlds import MIXED, config_for, statistics_of, write_world

ROWS = {"support": 512, "validation": 128, "query": 64}
LINEAR = ("train.linear_start=logistic", "model.settings.linear_term=true", "model.settings.norm_offset=3.0")


@pytest.mark.parametrize("name", ["metaaug", "single_task", "wdl"])
def test_without_its_network_a_model_is_the_linear_models(tmp_path: Path, name: str) -> None:
    """Under the masks, in the units of training, and the same for every member."""
    shards = open_folder(write_world(tmp_path, MIXED, rows=ROWS))
    overrides = [f"run.workdir={tmp_path}", f"model.name={name}", "model.members=2", "train.linear_start=logistic"]
    settings = ["model.settings.linear_term=true", "model.settings.norm_offset=3.0", "model.settings.embedding_dim=4"]
    context = Context.of(load_config([], [*overrides, *settings]), shards, World())
    statistics = statistics_of(context.config, shards)
    model = start_model(context, statistics).eval()
    for member in model.members:
        torch.nn.init.zeros_(member.towers.last)
    fitted = fit_tasks(shards, offset=3.0, max_rows=10_000)
    matrix = load_csr(shards, "query")
    with torch.no_grad():
        logits = torch.cat([model(batch) for _, batch in scan_batches(shards, "query", 1000)]).numpy()
    for task_id, task in enumerate(shards.tasks):
        mine = matrix.pair_tasks == task_id
        masks = shards.masks()
        mask = int(masks.task_mask[task_id])
        masked = masks.mask_concepts[masks.mask_offsets[mask] : masks.mask_offsets[mask + 1]].numpy()
        expected = fitted[task_id].scores(side_of(matrix, task_id, masked).features)
        own = logits[mine, : task.outputs].astype(np.float64)
        if task.kind == "binary":
            found = 1 / (1 + np.exp(-own[:, 0]))
        elif task.kind == "multiclass":
            found = np.exp(own) / np.exp(own).sum(1, keepdims=True)
        else:
            found = own[:, 0] * float(statistics.scale[task_id]) + float(statistics.shift[task_id])
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4), task.name


def test_it_needs_a_linear_term_and_knows_no_chains(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set model\.settings\.linear_term: true"):
        check_model(config_for(tmp_path, "train.linear_start=logistic"))
    with pytest.raises(UserError, match="knows no chains"):
        check_model(config_for(tmp_path, *LINEAR, "chains=[[a, b]]"))


def test_a_linear_term_that_a_model_has_by_itself_will_do() -> None:
    check_model(load_config([], ["train.linear_start=logistic", "model.name=wdl"]))
    with pytest.raises(UserError, match=r"set model\.settings\.linear_term: true"):
        check_model(load_config([], ["train.linear_start=logistic", "model.name=dcn"]))
