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
from pipeline.simulate.world import build_world

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


def test_the_simulations_own_clusters_are_the_blocks() -> None:
    """Segments of a family rest on one another's label concepts, others do not. Of half of the segments those who are
    in them are announced by a concept, which the segment itself masks; the world is that of pipeline/simulate."""
    rows = 800
    world = build_world(1, rows, 55, (300, 400))
    rng = np.random.default_rng(1)
    latent = world.latent(rng, rows)
    segments = world.segments
    labels = rng.random((rows, len(segments.names))) < segments.probabilities(latent)
    announced = np.flatnonzero(segments.announced)
    taste = latent + rng.normal(size=latent.shape)
    concepts = np.concatenate([labels[:, announced] & (rng.random((rows, len(announced))) < 0.9), taste > 0.7], axis=1)
    tasks = [Task(name=name) for name in segments.names]
    place = {int(segment): concept for concept, segment in enumerate(announced)}
    masks = TaskMasks([[place[i]] if i in place else [] for i in range(len(tasks))], concepts.shape[1])
    pairs = np.argwhere(np.ones_like(labels))
    matrix = Matrix(
        entity_ids=[str(row) for row in range(rows)],
        features=csr_matrix(concepts.astype(np.float32)),
        pair_rows=pairs[:, 0],
        pair_tasks=pairs[:, 1],
        labels=labels.reshape(-1).astype(np.float32),
    )
    torch.manual_seed(3)
    settings = {**SETTINGS, "embedding_dim": 16, "expert_width": 16, "tower_hidden": 0, "norm_offset": 1.0}
    model = build_model("metaaug", tasks, masks, torch.zeros(concepts.shape[1], dtype=torch.int64), settings).train()
    batch, truth = attention._batch(matrix.features, len(tasks)), torch.from_numpy(matrix.labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(20):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(batch)[:, 0], truth).backward()
        optimizer.step()
    found = task_attention(model, matrix, tasks, masks)[:, announced]
    same = segments.family[:, None] == segments.family[announced]
    own = np.arange(len(tasks))[:, None] == announced
    assert found[same & ~own].mean() > 5 * abs(found[~same].mean())
