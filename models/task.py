"""What a model knows of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskKind = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A segment prediction task: its name, kind and number of outputs (classes for multiclass, else 1)."""

    name: str
    kind: TaskKind = "binary"
    outputs: int = 1

    def __post_init__(self) -> None:
        if self.kind == "multiclass" and self.outputs < 2:
            raise ValueError(f"task {self.name}: multiclass needs at least 2 outputs, not {self.outputs}")
        if self.kind != "multiclass" and self.outputs != 1:
            raise ValueError(f"task {self.name}: {self.kind} has 1 output, not {self.outputs}")
