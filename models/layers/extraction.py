"""An extraction layer: experts of each task's own beside shared ones (Tang et al., RecSys 2020, Eq 1-7).

    own_k    = sum_e g_ke Own_ke(x_k)     + sum_s g_ks Shared_s(x)         g_k = softmax(Gate_k(x_k))
    shared   = sum_ke h_ke Own_ke(x_k)    + sum_s h_s  Shared_s(x)         h   = softmax(Gate(x))

x_k is what the layer below made for task k, x what it made for all; in the first layer both are the input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.networks import Networks


class GateNetworks(nn.Module):
    """`copies` networks that end in a softmax over `choices`."""

    def __init__(self, copies: int, input_width: int, widths: Sequence[int], choices: int) -> None:
        super().__init__()
        self.networks = Networks(copies, input_width, widths, 0.0)
        width = self.networks.width
        # Small, so that all experts begin with about equal weight for all tasks.
        self.last = nn.Parameter(torch.randn(copies, width, choices) * (0.1 / math.sqrt(width)))
        self.bias = nn.Parameter(torch.zeros(copies, 1, choices))

    def forward(self, x: Tensor) -> Tensor:
        """x [views, width], or [copies, views, width] -> [choices, copies, views]."""
        return torch.softmax(torch.baddbmm(self.bias, self.networks(x), self.last), dim=2).permute(2, 0, 1)


class Extraction(nn.Module):
    """All tasks' experts and gates in batched products, whatever the number of tasks."""

    def __init__(
        self,
        tasks: int,
        task_experts: int,
        shared_experts: int,
        input_width: int,
        expert_widths: Sequence[int],
        gate_widths: Sequence[int],
        dropout: float,
        shared_output: bool,
    ) -> None:
        """task_experts: of each task. shared_output: whether a layer above needs it."""
        super().__init__()
        self.tasks, self.task_experts = tasks, task_experts
        self.own = Networks(tasks * task_experts, input_width, expert_widths, dropout)
        self.shared = Networks(shared_experts, input_width, expert_widths, dropout)
        self.gates = GateNetworks(tasks, input_width, gate_widths, task_experts + shared_experts)
        choices = tasks * task_experts + shared_experts
        self.shared_gate = GateNetworks(1, input_width, gate_widths, choices) if shared_output else None
        self.width = self.own.width

    def forward(
        self, own_input: Tensor, shared_input: Tensor, seen: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """own_input [tasks, views, width] or [views, width], shared_input [views, width] -> the next layer's inputs.

        seen [tasks, rows]: what is made for tasks is made of these views alone, [tasks, rows, width]; own_input may
        already be so.
        """
        repeated = own_input.repeat_interleave(self.task_experts, 0) if own_input.ndim == 3 else own_input
        own, shared = self.own(repeated), self.shared(shared_input)
        by_task = own.view(self.tasks, self.task_experts, *own.shape[1:]).unbind(1)
        for_tasks = shared.unbind(0)
        if seen is not None:
            if own.shape[1] == len(shared_input):  # of all views
                own_input, by_task = _of_seen(own_input, seen), tuple(_of_seen(each, seen) for each in by_task)
            for_tasks = tuple(_of_seen(each, seen) for each in for_tasks)
        mixed = _mix(self.gates(own_input), [*by_task, *for_tasks])
        if self.shared_gate is None:
            return mixed, None
        return mixed, _mix(self.shared_gate(shared_input)[:, 0], [*own.unbind(0), *shared.unbind(0)])


def _of_seen(values: Tensor, seen: Tensor) -> Tensor:
    """values [views, width] or [tasks, views, width], seen [tasks, rows] -> [tasks, rows, width]."""
    if values.ndim == 2:
        return values[seen]
    return values.gather(1, seen.unsqueeze(2).expand(-1, -1, values.shape[2]))


def _mix(gates: Tensor, experts: Sequence[Tensor]) -> Tensor:
    """gates [experts, …], experts of [… , width] each -> [… , width]: one after the other, as each fits the cache."""
    mixed = gates[0].unsqueeze(-1) * experts[0]
    for gate, expert in zip(gates[1:], experts[1:], strict=True):
        mixed = torch.addcmul(mixed, gate.unsqueeze(-1).to(mixed.dtype), expert.to(mixed.dtype))
    return mixed
