"""Optimizer, average and gradients: what moves, by how much, and that sparse and dense agree."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.config.learning import Train
from pipeline.train.build import sparse_parameters
from pipeline.train.distribution import World
from pipeline.train.ema import MovingAverage
from pipeline.train.gradients import Gradients
from pipeline.train.optimizer import Optimizer, undecayed_names

ROWS, WIDTH = 12, 3


class Net(nn.Module):
    """An embedding, sparse or not, under a linear layer."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(ROWS, WIDTH, sparse=sparse)
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)])
        self.norm = nn.LayerNorm(WIDTH)
        self.first_bias = nn.Parameter(torch.ones(2, 2))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.layers[0](self.embedding(ids)))
        return (self.layers[1](hidden).squeeze(1) * self.first_bias.sum()).square().mean()


def take_steps(sparse: bool, batches: list[list[int]], ema: float = 0.5) -> tuple[Net, MovingAverage, Optimizer]:
    net = Net(sparse)
    names = sparse_parameters(net)
    parameters = dict(net.named_parameters())
    gradients = Gradients([p for n, p in parameters.items() if n not in names], [parameters[n] for n in names], 1)
    optimizer = Optimizer(net, names, Train(learning_rate=0.1, weight_decay=0.1, warmup=0.0), total_steps=10)
    average = MovingAverage(net, ema, names)
    for step, ids in enumerate(batches):
        gradients.clear()
        net(torch.tensor(ids)).backward()
        gradients.sum_over(World())
        gradients.clip(0.5)
        average.before_step()
        optimizer.step(step)
        average.after_step()
    return net, average, optimizer


def test_one_step_with_sparse_gradients_moves_the_same_as_with_dense_ones() -> None:
    (sparse, sparse_average, _), (dense, dense_average, _) = (take_steps(s, [[1, 1, 4, 7]]) for s in (True, False))
    assert sparse_parameters(sparse) == ["embedding.weight"]
    for (name, one), other in zip(sparse.named_parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, msg=name)
    for name, one in sparse_average.state().items():
        torch.testing.assert_close(one, dense_average.state()[name], rtol=1e-5, atol=1e-6, msg=name)


def test_a_sparse_step_leaves_untouched_rows_as_they_are() -> None:
    net, _, _ = take_steps(True, [[1, 2], [2, 3]])
    moved = (net.embedding.weight != Net(True).embedding.weight).any(1)
    assert moved.nonzero().flatten().tolist() == [1, 2, 3]


def test_the_lazy_average_of_sparse_rows_is_the_plain_average() -> None:
    """Against the definition, computed over the whole table at every step."""
    batches = [[0, 1], [1, 2], [5], [0, 5], [3]]
    net, expected = Net(True), None
    for count in range(len(batches) + 1):
        weight = take_steps(True, batches[:count])[0].embedding.weight.detach()
        decay = min(0.5, (1 + count) / (10 + count))
        expected = weight if expected is None else decay * expected + (1 - decay) * weight
    net, average, _ = take_steps(True, batches)
    with average.in_place():
        torch.testing.assert_close(net.embedding.weight, expected, rtol=1e-5, atol=1e-6)


def test_the_average_is_in_place_only_inside_the_with() -> None:
    net, average, _ = take_steps(False, [[1, 2], [3, 4]])
    before = net.layers[0].weight.detach().clone()
    with average.in_place():
        assert not torch.equal(net.layers[0].weight, before)
    assert torch.equal(net.layers[0].weight, before)


@pytest.mark.parametrize("sparse", [True, False])
def test_state_restored_goes_on_bit_for_bit(sparse: bool) -> None:
    batches = [[1, 2], [2, 3], [3, 4]]
    net, average, optimizer = take_steps(sparse, batches[:2])
    fresh = Net(sparse)
    fresh.load_state_dict(net.state_dict())
    other = Optimizer(fresh, sparse_parameters(fresh), Train(learning_rate=0.1, weight_decay=0.1, warmup=0.0), 10)
    other.load_state({name: tensor.clone() for name, tensor in optimizer.state().items()})
    other_average = MovingAverage(fresh, 0.5, sparse_parameters(fresh))
    other_average.load_state({name: tensor.clone() for name, tensor in average.state().items()})
    for model, steps, ema in ((net, optimizer, average), (fresh, other, other_average)):
        model.zero_grad()
        model(torch.tensor(batches[2])).backward()
        if sparse:
            model.embedding.weight.grad = model.embedding.weight.grad.coalesce()
        ema.before_step()
        steps.step(2)
        ema.after_step()
    for one, two in zip(net.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one, two)
    for name, tensor in average.state().items():
        assert torch.equal(tensor, other_average.state()[name])


def test_embeddings_biases_and_norms_are_not_decayed() -> None:
    decayed = {name for name, _ in Net(False).named_parameters()} - undecayed_names(Net(False))
    assert decayed == {"layers.0.weight", "layers.1.weight"}


def test_learning_rate_warms_up_then_falls_to_zero() -> None:
    optimizer = Optimizer(Net(False), [], Train(learning_rate=1.0, warmup=0.2), total_steps=20)
    rates = [optimizer.learning_rate(step) for step in range(21)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4] == pytest.approx(1.0)
    assert rates[12] == pytest.approx(0.5)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[20] == pytest.approx(0.0)


@pytest.mark.parametrize("sparse", [True, False])
def test_clipping_scales_all_gradients_by_one_factor(sparse: bool) -> None:
    def gradients_after(limit: float | None) -> tuple[float, list[torch.Tensor]]:
        net = Net(sparse)
        names = sparse_parameters(net)
        parameters = dict(net.named_parameters())
        gradients = Gradients([p for n, p in parameters.items() if n not in names], [parameters[n] for n in names], 0)
        gradients.clear()
        net(torch.tensor([1, 1, 3])).backward()
        gradients.sum_over(World())
        norm = gradients.clip(limit)
        return norm, [p.grad.to_dense() for p in net.parameters()]

    norm, plain = gradients_after(None)
    _, clipped = gradients_after(0.25)
    assert norm == pytest.approx(float(torch.cat([g.flatten() for g in plain]).norm()), rel=1e-5)
    for one, other in zip(clipped, plain, strict=True):
        torch.testing.assert_close(one, other * (0.25 / norm))


@pytest.mark.parametrize("sparse", [False, True])
def test_embeddings_move_at_their_own_rate(sparse: bool) -> None:
    def moved(rate: float) -> dict[str, float]:
        net = Net(sparse)
        start = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
        settings = Train(learning_rate=0.1, weight_decay=0.0, warmup=0.0, embedding_rate=rate)
        optimizer = Optimizer(net, sparse_parameters(net), settings, total_steps=10)
        net(torch.tensor([1, 4])).backward()
        optimizer.step(0)
        return {name: float((p.detach() - start[name]).abs().max()) for name, p in net.named_parameters()}

    full, slow, still = moved(1.0), moved(0.25), moved(0.0)
    assert slow["embedding.weight"] == pytest.approx(0.25 * full["embedding.weight"], rel=1e-3)
    assert still["embedding.weight"] == 0
    assert still["layers.0.weight"] == pytest.approx(full["layers.0.weight"])


def test_linear_terms_move_at_their_own_rate() -> None:
    table, layer = torch.nn.EmbeddingBag(5, 2, mode="sum"), torch.nn.Linear(2, 2)
    net = torch.nn.ModuleDict({"linear": table, "linear_layer": layer})
    start = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    optimizer = Optimizer(net, [], Train(warmup=0.0, linear_rate=0), total_steps=10)
    layer(table(torch.tensor([[1, 4]]))).sum().backward()
    optimizer.step(0)
    moved = {name for name, parameter in net.named_parameters() if not torch.equal(parameter, start[name])}
    assert moved == {"linear_layer.weight", "linear_layer.bias"}


@pytest.mark.parametrize("sparse", [True, False])
def test_each_member_is_clipped_as_it_would_be_alone(sparse: bool) -> None:
    """One of two has gradients ten times as large: the other's are not cut for it."""
    members = torch.nn.ModuleList([Net(sparse), Net(sparse)])
    names = sparse_parameters(members)
    parameters = dict(members.named_parameters())
    dense = [p for n, p in parameters.items() if n not in names]
    gradients = Gradients(dense, [parameters[n] for n in names], 1, members)

    def after(limit: float | None) -> tuple[float, list[torch.Tensor]]:
        gradients.clear()
        gradients.statistics.fill_(7.0)
        (members[0](torch.tensor([1, 1, 3])) + 10 * members[1](torch.tensor([1, 1, 3]))).backward()
        gradients.sum_over(World())
        norm = gradients.clip(limit)
        of_members = [torch.cat([p.grad.to_dense().flatten() for p in one.parameters()]) for one in members]
        return norm, of_members

    norm, plain = after(None)
    limit = 2 * float(plain[0].norm())
    assert float(plain[1].norm()) > limit
    assert norm == pytest.approx(float(torch.cat(plain).norm()), rel=1e-5)
    _, clipped = after(limit)
    torch.testing.assert_close(clipped[0], plain[0])
    torch.testing.assert_close(clipped[1], plain[1] * (limit / plain[1].norm()))
    assert float(gradients.statistics) == 7.0
