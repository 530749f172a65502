"""Several models of one kind in one: they differ in their random start, and their logits are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.batch import Batch


class Ensemble(nn.Module):
    """The mean of its members' logits (Lakshminarayanan et al. 2017, "Deep ensembles").

    Each member is trained on its own loss, so that members stay different; see `members_of`. For binary tasks the mean
    of logits is the geometric mean of the odds.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, batch: Batch) -> Tensor:
        """[pairs, outputs]: the mean logits of the batch's pairs."""
        return torch.stack([member(batch) for member in self.members]).mean(0)

    @property
    def gate_weights(self) -> object:
        """batch -> [rows, experts of all members, tasks], shares of the whole; missing where members have no gates."""
        of_members = [getattr(member, "gate_weights") for member in self.members]  # noqa: B009
        return lambda batch: torch.cat([of_one(batch) for of_one in of_members], dim=1) / len(of_members)

    def start_from_priors(self, priors: Tensor) -> None:
        """See the members' own."""
        for member in self.members:
            member.start_from_priors(priors)  # type: ignore[operator]

    def scale_outputs(self, scale: Tensor, shift: Tensor) -> None:
        """See the members' own: the mean is scaled as each of them is."""
        for member in self.members:
            member.scale_outputs(scale, shift)  # type: ignore[operator]


def members_of(model: nn.Module) -> list[nn.Module]:
    """The models to be trained side by side: an ensemble's members, or the model itself."""
    return list(model.members) if isinstance(model, Ensemble) else [model]
