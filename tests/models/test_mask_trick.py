"""The mask trick gives the logits and gradients of one forward pass a pair (paper Eq 5, 9)."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.batch import Batch
from models.metaaug import MetaAug
from tests.models.examples import make_batch, make_model
from tests.models.naive import naive_logits

VOCABULARY, TASKS = 7, 5

vectors = st.dictionaries(st.integers(0, VOCABULARY - 1), st.floats(0.125, 4, width=16), max_size=VOCABULARY)
masks = st.lists(st.sets(st.integers(0, VOCABULARY - 1), max_size=VOCABULARY), min_size=TASKS, max_size=TASKS)
all_pairs = [(row, task) for row in range(4) for task in range(TASKS)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Batch, list[list[int]], dict[str, Any]]:
    rows = draw(st.lists(vectors, min_size=1, max_size=4))
    possible = [pair for pair in all_pairs if pair[0] < len(rows)]
    pairs = draw(st.one_of(st.none(), st.sets(st.sampled_from(possible))))
    of_task = [sorted(mask) for mask in draw(masks)]
    if draw(st.booleans()):
        of_task[1] = of_task[0]  # tasks that share a mask
    gate_input = draw(st.booleans())
    config = {
        "gate_input": gate_input,
        "gate_hidden": draw(st.sampled_from([0, 3])) if gate_input else 0,
        "shared_outputs": draw(st.sampled_from([0, 2])),
        "crosses": draw(st.sampled_from([0, 1, 2])),
        "cross_width": 4,
        "cross_rank": draw(st.sampled_from([0, 3])),
        "tower_hidden": draw(st.sampled_from([0, 4])),
        "linear_term": draw(st.booleans()),
        "embedding_dim": draw(st.sampled_from([5, 6])),  # 5: as wide as the experts
        "sparse_embeddings": draw(st.booleans()),
        "outputs": draw(st.sampled_from([None, [1, 3, 1, 1, 2]])),
    }
    return make_batch(rows, list(pairs) if pairs is not None else None, TASKS), of_task, config


def gradients(model: MetaAug, logits: Tensor) -> dict[str, Tensor]:
    weights = torch.linspace(0.5, 1.5, logits.numel(), dtype=logits.dtype).view(logits.shape)
    model.zero_grad()
    (weights * torch.tanh(logits)).sum().backward()
    return {
        name: (torch.zeros_like(p) if p.grad is None else p.grad.to_dense().clone())
        for name, p in model.named_parameters()
    }


def double_model(of_task: list[list[int]], config: dict[str, Any]) -> MetaAug:
    torch.manual_seed(0)
    model = make_model(of_task, VOCABULARY, **config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


@settings(max_examples=150, deadline=None)
@given(cases())
def test_equals_one_pass_a_pair(case: tuple[Batch, list[list[int]], dict[str, Any]]) -> None:
    batch, of_task, config = case
    model = double_model(of_task, config)
    fast, naive = model(batch), naive_logits(model, batch)
    torch.testing.assert_close(fast, naive, rtol=0, atol=1e-12)
    fast_gradients = gradients(model, fast)
    for name, gradient in gradients(model, naive).items():
        torch.testing.assert_close(fast_gradients[name], gradient, rtol=0, atol=1e-12, msg=name)


@settings(max_examples=30, deadline=None)
@given(cases())
def test_all_tasks_of_all_rows(case: tuple[Batch, list[list[int]], dict[str, Any]]) -> None:
    batch, of_task, config = case
    model = double_model(of_task, config)
    dense = batch.with_all_tasks(TASKS)
    naive, own = naive_logits(model, dense), model.towers.own_column[dense.pair_tasks]
    torch.testing.assert_close(model(dense)[own], naive[own], rtol=0, atol=1e-12)
