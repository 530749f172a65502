"""A task's own gate and tower, apart from the other tasks': what online adaptation trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.gates import Gates
from models.layers.towers import Towers
from models.mixture import ExpertMixture
from models.task_inputs import TaskInputs


class OneTask(nn.Module):
    """The logits of one task of a mixture over `task_inputs`, by copies of its own numbers alone.

    Every number of gates and towers belongs to one task, so that other tasks' scores do not move by a bit when these
    are written back. A step costs what one task's gate and tower cost, whatever the number of tasks.
    """

    def __init__(self, model: ExpertMixture, task: int) -> None:
        """Raises ValueError for a task of several outputs."""
        super().__init__()
        if model.tasks[task].outputs != 1:
            raise ValueError(f"task {model.tasks[task].name} has {model.tasks[task].outputs} outputs, not one")
        gates, towers = model.gates, model.towers
        width = len(towers.first if towers.hidden else towers.last)
        self.gates = Gates(1, gates.experts, gates.input_width, gates.hidden)
        self.towers = Towers([1], width, towers.hidden)
        self._task, self._head = task, int(towers.heads_of_task[task, 0])
        self.to(towers.last)
        self._copy(model, to_model=False)

    def forward(self, given: TaskInputs) -> Tensor:
        """[pairs]: the logits of pairs of the task.

        The experts are weighed before the tower, which is of one task only and then computed once (layers/towers.py).
        """
        unit = given.weighed(self.gates.all_tasks(given.x)[:, 0])
        if self.towers.hidden:
            unit = torch.relu(torch.addmm(self.towers.first_bias[:, 0], unit, self.towers.first[:, :, 0]))
        logits = torch.addmm(self.towers.bias, unit, self.towers.last)
        return (logits if given.linear is None else logits + given.linear)[:, 0]

    def write_to(self, model: ExpertMixture) -> None:
        """Put the numbers back into the model's gates and towers."""
        self._copy(model, to_model=True)

    @torch.no_grad()
    def _copy(self, model: ExpertMixture, to_model: bool) -> None:
        for part, own in ((model.gates, self.gates), (model.towers, self.towers)):
            of_model = dict(part.named_parameters())
            for name, mine in own.named_parameters():
                axis, by_head = part.own_axis[name]
                theirs = of_model[name].narrow(axis, self._head if by_head else self._task, 1)
                (theirs if to_model else mine).copy_(mine if to_model else theirs)
