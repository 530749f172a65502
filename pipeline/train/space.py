"""In which space the tasks of a chain are trained (ESMM; APEM section 2.2): on all rows, or where the step before is.

entire   a later step is known not to have happened where the one before did not: such rows are its negatives, whether
         the shards say so or not; a task is predicted as P(T_i)
local    rows where the step before did not happen are left out; a task is predicted as P(T_i | T_(i-1) = 1)
"""

from __future__ import annotations

import difflib

from models.batch import Batch
from models.chains import Chains
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.shards.dataset import ShardSet


class TrainingSpace:
    """Adds or takes out the pairs of a batch; nothing without chains."""

    def __init__(self, config: Config, shards: ShardSet) -> None:
        """Raises UserError for chains that do not fit the shards' tasks."""
        chains = chains_of(config, shards)
        try:
            self._chains = Chains(chains, shards.tasks)
        except ValueError as error:
            raise UserError(f"chains: {error}") from None
        self._space = config.train.space
        self.pairs = self._pairs(shards)
        """[tasks]: how many pairs the support has in this space."""

    def __call__(self, batch: Batch) -> Batch:
        if not self._chains.later:
            return batch
        chains = self._chains.to(batch.pair_rows.device)
        return chains.in_entire_space(batch) if self._space == "entire" else chains.in_local_space(batch)

    def _pairs(self, shards: ShardSet) -> list[int]:
        """Counted from the manifest, as if every row of a later task were one of the task before."""
        tasks = shards.manifest.tasks
        pairs = [task.pairs.get("support", 0) for task in tasks]
        positives = [task.positives.get("support", 0) for task in tasks]
        for befores, laters in self._chains.steps:
            for before, later in zip(befores, laters, strict=True):
                if self._space == "local":
                    pairs[later] = min(pairs[later], positives[before])
                else:
                    negatives = pairs[before] - positives[before]
                    pairs[later] = max(pairs[later], min(pairs[before], negatives + pairs[later]))
        return pairs


def chains_of(config: Config, shards: ShardSet) -> list[list[int]]:
    """`chains` as task ids. Raises UserError for a name that is no task of the shards."""
    ids = {task.name: index for index, task in enumerate(shards.tasks)}
    for name in (name for chain in config.chains for name in chain):
        if name not in ids:
            nearest = difflib.get_close_matches(name, ids, n=1, cutoff=0)[0]
            raise UserError(f"chains: {name!r} is no task of the shards in {shards.folder}; the nearest is {nearest!r}")
    return [[ids[name] for name in chain] for chain in config.chains]
