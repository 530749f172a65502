"""AdamW for dense parameters, lazy Adam for embeddings with sparse gradients, warm-up and cosine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.row_adam import RowAdam
from pipeline.config.learning import Train

_EPS = 1e-8
_UNDECAYED = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d)
_UNDECAYED_WORDS = ("bias", "embedding", "norm")


class Optimizer:
    """Steps a model's parameters from their gradients; its state is a flat dictionary of tensors.

    Weight decay acts on all but embeddings, biases and norms. RowAdam, for parameters in `sparse`, moves only
    the rows that a batch touched; on those it is Adam (Kingma and Ba 2015), without decay. Embeddings have
    `settings.embedding_rate` times the learning rate, linear terms `settings.linear_rate` times.
    """

    def __init__(self, model: nn.Module, sparse: Iterable[str], settings: Train, total_steps: int) -> None:
        parameters = dict(model.named_parameters())
        rows = set(sparse)
        undecayed = undecayed_names(model)
        shares = {name: _share(name, settings) for name in parameters}
        dense = [name for name in parameters if name not in rows]
        groups: list[dict[str, Any]] = [
            {
                "params": [parameters[n] for n in dense if (n in undecayed, shares[n]) == kind],
                "share": kind[1],
                **({"weight_decay": 0.0} if kind[0] else {}),
            }
            for kind in sorted({(name in undecayed, shares[name]) for name in dense})
        ]
        self._names: dict[Tensor, str] = {parameter: name for name, parameter in parameters.items()}
        self._peak = settings.learning_rate
        self._warmup_steps = math.ceil(settings.warmup * total_steps)
        self._total_steps = total_steps
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                groups,
                lr=self._peak,
                weight_decay=settings.weight_decay,
                eps=_EPS,
                foreach=True,
            )
        ]
        if rows:
            sparse_groups = [{"params": [parameters[n]], "share": shares[n]} for n in sorted(rows)]
            self._optimizers.append(RowAdam(sparse_groups, lr=self._peak))

    def learning_rate(self, step: int) -> float:
        """Linear warm-up to the peak, then half a cosine down to zero after the last step. `step` counts from 0."""
        if step < self._warmup_steps:
            return self._peak * (step + 1) / self._warmup_steps
        progress = (step - self._warmup_steps) / max(1, self._total_steps - self._warmup_steps)
        return self._peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def step(self, step: int) -> None:
        """Move the parameters along their gradients, with the learning rate of this step."""
        rate = self.learning_rate(step)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["share"]
                if isinstance(optimizer, RowAdam):
                    # AdamW adds eps to the bias-corrected root, RowAdam to the plain one: this makes them agree.
                    group["eps"] = _EPS * math.sqrt(1 - group["betas"][1] ** (step + 1))
            optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """`<parameter>/<moment>` -> tensor; empty before the first step."""
        return {
            f"{self._names[parameter]}/{key}": torch.as_tensor(value)
            for optimizer in self._optimizers
            for parameter, moments in optimizer.state.items()
            for key, value in moments.items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` gave."""
        parameters = {name: parameter for parameter, name in self._names.items()}
        owner = {
            parameter: optimizer
            for optimizer in self._optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        for key, tensor in state.items():
            name, _, moment = key.rpartition("/")
            parameter = parameters[name]
            optimizer = owner[parameter]
            value: Tensor | int = tensor.clone()
            if moment == "step":
                value = int(tensor) if isinstance(optimizer, RowAdam) else tensor.clone()
            else:
                value = tensor.to(parameter.device, copy=True)
            optimizer.state[parameter][moment] = value


def _share(name: str, settings: Train) -> float:
    """How many times the learning rate a parameter has."""
    if "embedding" in name.lower():
        return settings.embedding_rate
    return settings.linear_rate if name.split(".")[-2:] == ["linear", "weight"] else 1.0


def undecayed_names(model: nn.Module) -> set[str]:
    """Embeddings, biases and norms: by the kind of module that owns them, by name, or because they are vectors."""
    names = set()
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(path, recurse=False):
            by_name = any(word in name.lower() for word in _UNDECAYED_WORDS)
            if by_name or isinstance(module, _UNDECAYED) or parameter.ndim < 2:
                names.add(name)
    return names
