"""Logits → what is written: one score a head, and its decision. Heads are the rows each entity gets.

binary       one head, named as the segment: the probability; in it from the threshold on
multiclass   one head a class, `segment=class`: the probability; in it where it is the likeliest class
regression   one head, named as the segment: the value; no decision
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipeline.modelfolder import TaskSpec

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Heads:
    """The heads of a model, in task order; arrays are [heads].

    tasks: the task of each head; columns: its column of the task's logits; thresholds: NaN where a decision is
    not made by one (multiclass, regression); softmax: of multiclass tasks the range of their heads.
    """

    names: tuple[str, ...]
    tasks: NDArray[np.int64]
    columns: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    binary: NDArray[np.bool_]
    softmax: tuple[slice, ...]

    @classmethod
    def of(cls, tasks: Sequence[TaskSpec], thresholds: Mapping[str, float]) -> Heads:
        names: list[str] = []
        softmax: list[slice] = []
        for task in tasks:
            if task.kind == "multiclass":
                softmax.append(slice(len(names), len(names) + task.outputs))
                names += [f"{task.name}={task.classes[k] if task.classes else k}" for k in range(task.outputs)]
            else:
                names.append(task.name)
        outputs = [task.outputs for task in tasks]
        of_head = np.repeat(np.arange(len(tasks)), outputs)
        binary = np.array([tasks[task].kind == "binary" for task in of_head])
        cuts = [thresholds.get(name, DEFAULT_THRESHOLD) for name in names]
        return cls(
            names=tuple(names),
            tasks=of_head,
            columns=np.concatenate([np.arange(count) for count in outputs]),
            thresholds=np.where(binary, cuts, np.nan),
            binary=binary,
            softmax=tuple(softmax),
        )

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """logits [rows, tasks, outputs] → scores [rows, heads]."""
        if self.binary.all():  # the common case: no picking of columns, everything in place
            return _sigmoid_(logits[:, :, 0].astype(np.float64))
        found = logits[:, self.tasks, self.columns].astype(np.float64)
        found[:, self.binary] = _sigmoid_(found[:, self.binary])
        for heads in self.softmax:
            powers = np.exp(found[:, heads] - found[:, heads].max(axis=1, keepdims=True))
            found[:, heads] = powers / powers.sum(axis=1, keepdims=True)
        return found

    def decisions(self, scores: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """scores [rows, heads] → (decisions [rows, heads], known [heads]: false where there is no decision)."""
        with np.errstate(invalid="ignore"):
            chosen = scores >= self.thresholds
        known = self.binary.copy()
        for heads in self.softmax:
            chosen[:, heads] = np.arange(heads.stop - heads.start) == scores[:, heads].argmax(axis=1)[:, None]
            known[heads] = True
        return chosen, known


def _sigmoid_(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), in place."""
    with np.errstate(over="ignore"):
        np.exp(np.negative(x, out=x), out=x)
    x += 1
    return np.reciprocal(x, out=x)
