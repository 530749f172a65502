"""An exponential moving average of the parameters: what is validated and kept, when `train.ema` is set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pipeline.train.distribution import World


class MovingAverage:
    """average_t = d_t average_(t-1) + (1 - d_t) parameter_t, with d_t = min(decay, (1 + t) / (10 + t)).

    The smaller d_t at first forgets the random start sooner. Rows of an embedding with sparse gradients stand still
    until a batch touches them, so their average is brought up to date only then: between touches at steps s and t
    the average is w + (average_s - w) d_(s+1) ... d_t, which costs nothing for the rows in between.
    """

    def __init__(self, model: nn.Module, decay: float, sparse: Sequence[str] = ()) -> None:
        self._decay = decay
        self._parameters = dict(model.named_parameters())
        self._dense = [name for name in self._parameters if name not in set(sparse)]
        self._sparse = list(sparse)
        self._steps = 0
        self._log_decay = 0.0
        """ln of the product of all d_t so far."""
        self._average = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self._touched = {
            name: torch.zeros(len(self._parameters[name]), dtype=torch.float64, device=self._parameters[name].device)
            for name in self._sparse
        }
        """[rows] the value of `_log_decay` when a row was last brought up to date."""

    @torch.no_grad()
    def before_step(self) -> None:
        """Call with the gradients of a step in place, before the optimizer moves the parameters."""
        for name in self._sparse:
            gradient = self._parameters[name].grad
            if gradient is not None:
                self._catch_up(name, gradient.indices()[0])

    @torch.no_grad()
    def after_step(self) -> None:
        """Call after the optimizer moved the parameters."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        self._log_decay += math.log(decay)
        averages = [self._average[name] for name in self._dense]
        torch._foreach_lerp_(averages, [self._parameters[name].detach() for name in self._dense], 1 - decay)
        for name in self._sparse:
            gradient = self._parameters[name].grad
            if gradient is not None:
                # A row just caught up: one more step of decay, towards its new value.
                self._catch_up(name, gradient.indices()[0])

    def catch_up(self) -> None:
        """Call before parameters are changed other than by a step."""
        self._catch_up_all()

    @torch.no_grad()
    def average_over(self, world: World) -> None:
        """The mean of all ranks' averages, which is the average of their mean parameters."""
        self._catch_up_all()
        for average in self._average.values():
            average.div_(world.size)
            world.sum_(average)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model's parameters are the averages inside the `with`."""
        self._catch_up_all()
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state(self) -> dict[str, Tensor]:
        """What `load_state` takes, by name: averages, and the counts."""
        self._catch_up_all()
        counts = torch.tensor([self._steps, self._log_decay], dtype=torch.float64)
        return {**self._average, "/counts": counts}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        steps, self._log_decay = state["/counts"].tolist()
        self._steps = int(steps)
        for name, average in self._average.items():
            average.copy_(state[name])
        for touched in self._touched.values():
            touched.fill_(self._log_decay)

    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            parameter.data, self._average[name] = self._average[name], parameter.data

    @torch.no_grad()
    def _catch_up_all(self) -> None:
        for name in self._sparse:
            rows = torch.arange(len(self._touched[name]), device=self._touched[name].device)
            self._catch_up(name, rows)

    def _catch_up(self, name: str, rows: Tensor) -> None:
        average, parameter, touched = self._average[name], self._parameters[name], self._touched[name]
        decay = torch.exp(self._log_decay - touched[rows]).to(average.dtype).unsqueeze(1)
        now = parameter.detach()[rows]
        average[rows] = now + decay * (average[rows] - now)
        touched[rows] = self._log_decay
