"""APEM's selector in the report: rates and places against the model's own, and the page that shows them."""

from __future__ import annotations

import json

import numpy as np
import torch

from models.masks import TaskMasks
from models.registry import build_model
from models.selection import row_embeddings, selection_rate
from models.task import Task
from pipeline.evaluate import run
from pipeline.evaluate.predict import batches
from pipeline.evaluate.selection import selection_of
from pipeline.layout import Layout
from tests.pipeline.evaluate.test_attention import VOCABULARY, make_matrix
from tests.pipeline.evaluate.world import SMALL_APEM, write_world

TASKS = [Task(name="a"), Task(name="b")]


def make(name: str, members: int = 1, **settings) -> torch.nn.Module:
    torch.manual_seed(0)
    model = build_model(
        name, TASKS, TaskMasks([[], []], VOCABULARY), torch.arange(VOCABULARY) % 3, {**settings}, members
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def test_rates_and_distances_are_the_models_own() -> None:
    matrix, model = make_matrix(50, TASKS), make("apem", **SMALL_APEM)
    model.gamma.fill_(1e-3)
    found = selection_of(model, matrix)
    batch = next(batches(matrix, 50))
    rates = selection_rate(model, batch).double().numpy()
    assert 0 < rates.mean() < 1
    np.testing.assert_allclose(found.rates, rates)
    np.testing.assert_allclose(found.by_layer(), rates.mean(0))
    embeddings = row_embeddings(model, batch).double().numpy()
    centred = embeddings - embeddings.mean(0)
    strongest = np.linalg.svd(centred, compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(found.places, axis=0), strongest, rtol=1e-5)


def test_others_have_no_selector() -> None:
    matrix = make_matrix(20, TASKS)
    assert selection_of(make("shared_bottom"), matrix) is None
    assert selection_of(make("apem", **SMALL_APEM, asrg=False), matrix) is None
    assert selection_of(make("apem", members=2, **SMALL_APEM), matrix) is not None


def test_it_stands_in_the_report(make_config, tmp_path) -> None:
    write_world(tmp_path / "work", architecture="apem", settings=SMALL_APEM)
    config = make_config("evaluate.baselines=[]")
    run(config)
    report = Layout.of(config).report
    assert 'id="selection"' in (report / "report.html").read_text(encoding="utf-8")
    rates = json.loads((report / "metrics.json").read_text(encoding="utf-8"))["selection_rate"]
    assert len(rates) == SMALL_APEM["layers"]
    assert all(0 <= rate <= 1 for rate in rates)
