"""Task attention: the same as masking by hand, and larger between tasks that look at the same concepts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch.nn import functional as F

from models.masks import TaskMasks
from models.registry import build_model
from models.task import Task
from pipeline.evaluate import attention
from pipeline.evaluate.attention import task_attention
from pipeline.shards.batches import Matrix

VOCABULARY = 12
SETTINGS = {"embedding_dim": 6, "experts": 2, "expert_layers": 1, "expert_width": 6, "gate_hidden": 0}
COLOUR, SPEND = Task(name="c", kind="multiclass", outputs=3), Task(name="d", kind="regression")
MIXED = [Task(name="a"), Task(name="b"), COLOUR, SPEND]
MASKS = [[0, 1], [2], [], [0, 1]]


def make_matrix(rows: int, tasks: list[Task], seed: int = 0) -> Matrix:
    """Random rows, of which a fifth of the pairs is missing."""
    rng = np.random.default_rng(seed)
    dense = (rng.random((rows, VOCABULARY)) < 0.4) * rng.uniform(0.5, 2, (rows, VOCABULARY))
    pairs = np.argwhere(rng.random((rows, len(tasks))) < 0.8)
    labels = [rng.integers(0, max(2, tasks[task].outputs)) for _, task in pairs]
    return Matrix(
        entity_ids=[f"u{row}" for row in range(rows)],
        features=csr_matrix(dense.astype(np.float32)),
        pair_rows=pairs[:, 0],
        pair_tasks=pairs[:, 1],
        labels=np.array(labels, dtype=np.float32),
    )


def make_model(tasks: list[Task], masks: list[list[int]]) -> torch.nn.Module:
    torch.manual_seed(3)
    fields = torch.zeros(VOCABULARY, dtype=torch.int64)
    return build_model("metaaug", tasks, TaskMasks(masks, VOCABULARY), fields, SETTINGS).eval()


def by_hand(model, matrix: Matrix, tasks: list[Task], masks: list[list[int]]) -> np.ndarray:
    """A pass a pair of tasks, over rows whose concepts were deleted."""
    found = np.zeros((len(tasks), len(tasks)))
    for i, task in enumerate(tasks):
        rows, labels = matrix.of_task(i)
        for j in range(len(tasks)):
            dense = matrix.features.toarray()
            dense[:, masks[j]] = 0
            logs = []
            for features in (matrix.features, csr_matrix(dense)):
                with torch.no_grad():
                    logits = model(attention._batch(features, len(tasks))).double()
                own = logits.view(features.shape[0], len(tasks), -1)[rows, i]
                truth = torch.from_numpy(labels)
                if task.kind == "binary":
                    logs.append(-F.binary_cross_entropy_with_logits(own[:, 0], truth.double()))
                elif task.kind == "multiclass":
                    logs.append(-F.cross_entropy(own[:, : task.outputs], truth.long()))
                else:
                    logs.append(torch.tensor(float("nan")))
            found[i, j] = float(logs[0] - logs[1])
    return found


@pytest.mark.parametrize("rows_a_pass", [7, 4096])
def test_equals_masking_by_hand(monkeypatch, rows_a_pass) -> None:
    monkeypatch.setattr(attention, "_ROWS_A_PASS", rows_a_pass)
    matrix, model = make_matrix(40, MIXED), make_model(MIXED, MASKS)
    found = task_attention(model, matrix, MIXED, TaskMasks(MASKS, VOCABULARY))
    np.testing.assert_allclose(found, by_hand(model, matrix, MIXED, MASKS), atol=1e-6)
    assert (found[:3, 2] == 0).all()  # an empty mask takes nothing away
    assert np.isnan(found[3]).all()
    assert np.abs(found[0, 1]) > 1e-4


def test_a_tasks_own_mask_takes_nothing_from_it() -> None:
    matrix, model = make_matrix(40, MIXED), make_model(MIXED, MASKS)
    found = task_attention(model, matrix, MIXED, TaskMasks(MASKS, VOCABULARY))
    np.testing.assert_allclose(np.diag(found)[:3], 0, atol=1e-6)


def test_tasks_of_a_block_attend_to_one_another() -> None:
    """Two blocks of three tasks: each task masks a concept that the others of its block are predicted by."""
    rng = np.random.default_rng(1)
    rows, tasks = 1200, [Task(name=f"t{i}") for i in range(6)]
    masks = [[i] for i in range(6)]
    latent = rng.random((rows, 2)) < 0.5
    dense = np.zeros((rows, VOCABULARY), dtype=np.float32)
    for i in range(6):
        dense[:, i] = latent[:, i // 3] ^ (rng.random(rows) < 0.2)
    labels = np.stack([latent[:, i // 3] ^ (rng.random(rows) < 0.1) for i in range(6)], axis=1)
    pairs = np.argwhere(np.ones((rows, 6), dtype=bool))
    matrix = Matrix(
        entity_ids=[str(row) for row in range(rows)],
        features=csr_matrix(dense),
        pair_rows=pairs[:, 0],
        pair_tasks=pairs[:, 1],
        labels=labels.reshape(-1).astype(np.float32),
    )
    model = make_model(tasks, masks).train()
    batch = attention._batch(matrix.features, 6)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(batch)[:, 0], torch.from_numpy(matrix.labels)).backward()
        optimizer.step()
    found = task_attention(model, matrix, tasks, TaskMasks(masks, VOCABULARY))
    block = np.arange(6) // 3
    same = (block[:, None] == block) & ~np.eye(6, dtype=bool)
    assert found[same].mean() > 0.02
    assert found[same].mean() > 10 * abs(found[block[:, None] != block].mean())
