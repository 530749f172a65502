"""What the mask trick costs: a full training step of MetaAug at the paper's size (3 experts x 6 layers x 512, gates and
towers of 32, embedding 512), side by side in one run:

    one task         one task alone under its own mask
    68 tasks         all (row, task) pairs, each under its task's mask
    68 + 1000        the same with a share of the concepts hidden and 1,000 auxiliary masked-concept tasks
    naive 68         a forward and backward pass a task, over rows with its concepts taken out

A step is forward, loss, backward and optimizer (AdamW; Adam by rows for the concept embedding). Rows are simulated:
`concepts` concepts a row over `vocabulary`, and half of the tasks have a concept of their own, with about
`hits` mask hits a row.

Run: python benchmarks/mask_trick.py [--rows 512] [--repeats 7] [--naive-repeats 1] [--cpu-time] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch.nn import functional as F

from models.auxiliary import auxiliary_loss
from models.batch import Batch
from models.hiding import hide
from models.layers.hits import find_hits
from models.masks import TaskMasks
from models.metaaug import MetaAug
from models.row_adam import RowAdam
from models.task import Task

TASKS, AUXILIARY = 68, 1000


_DRAWN_AT_ONCE = 16_384


def simulated_batch(rows: int, concepts: int, vocabulary: int, hits: float, seed: int) -> tuple[Batch, TaskMasks]:
    """Rows of distinct concepts (popularity ~ 1 / rank), all 68 tasks a row; task 2i masks one concept of its own."""
    generator = torch.Generator().manual_seed(seed)
    own = vocabulary - 1 - torch.arange(TASKS // 2)  # rare ids, so that only planted entries hit
    popularity = 1 / (torch.arange(vocabulary - TASKS // 2, dtype=torch.float64) + 50)
    # In chunks: a draw holds a number for every row and concept of the vocabulary.
    counts = [min(_DRAWN_AT_ONCE, rows - start) for start in range(0, rows, _DRAWN_AT_ONCE)]
    ids = torch.cat([torch.multinomial(popularity.expand(n, -1), concepts, generator=generator) for n in counts])
    planted = torch.rand(rows, TASKS // 2, generator=generator) < hits / (TASKS // 2)
    vectors = [torch.cat([ids[r], own[planted[r]]]).sort().values for r in range(rows)]
    flat = torch.cat(vectors)
    empty = torch.empty(0, dtype=torch.int64)
    batch = Batch(
        concept_ids=flat,
        concept_weights=torch.rand(flat.numel(), generator=generator) + 0.5,
        row_offsets=torch.tensor([0] + [v.numel() for v in vectors]).cumsum(0),
        pair_rows=empty,
        pair_tasks=empty,
        labels=torch.empty(0),
    ).with_all_tasks(TASKS)
    labels = (torch.rand(batch.pairs, generator=generator) < 0.1).float()
    masks = TaskMasks([[int(own[t // 2])] if t % 2 == 0 else [] for t in range(TASKS)], vocabulary)
    return replace(batch, labels=labels), masks


def of_task(batch: Batch, task: int, masks: TaskMasks | None) -> Batch:
    """The rows with one task's pairs; with masks, without the concepts of its mask."""
    pairs = batch.pair_tasks == task
    batch = replace(
        batch, pair_rows=batch.pair_rows[pairs], pair_tasks=batch.pair_tasks[pairs], labels=batch.labels[pairs]
    )
    if masks is None:
        return batch
    mask = int(masks.task_mask[task])
    concepts = masks.mask_concepts[int(masks.mask_offsets[mask]) : int(masks.mask_offsets[mask + 1])]
    keep = ~torch.isin(batch.concept_ids, concepts)
    kept_before = torch.cat([torch.zeros(1, dtype=torch.int64), keep.cumsum(0)])
    return replace(
        batch,
        concept_ids=batch.concept_ids[keep],
        concept_weights=batch.concept_weights[keep],
        row_offsets=kept_before[batch.row_offsets],
    )


class Trainer:
    """A model with its two optimizers."""

    def __init__(self, masks: TaskMasks, auxiliary: int = 0) -> None:
        torch.manual_seed(0)
        tasks = [Task(name=f"segment{t}") for t in range(masks.tasks)]
        fields = torch.zeros(masks.vocabulary_size, dtype=torch.int64)
        self.model = MetaAug(tasks, masks, fields, auxiliary=auxiliary, sparse_embeddings=True)
        table = self.model.embedding.weight
        self.sparse = RowAdam([table])
        self.dense = torch.optim.AdamW([p for p in self.model.parameters() if p is not table], fused=True)

    def step(self, batch: Batch) -> None:
        """One training step over the batch's pairs."""
        loss = F.binary_cross_entropy_with_logits(self.model(batch)[:, 0], batch.labels)
        self._update(loss)

    def step_with_auxiliary(self, batch: Batch, generator: torch.Generator) -> None:
        """One step over the pairs and all auxiliary tasks, from one view with a share hidden."""
        visible, hidden = hide(batch, 0.6, generator)
        logits, auxiliary = self.model.forward_with_auxiliary(visible)
        loss = F.binary_cross_entropy_with_logits(logits[:, 0], batch.labels)
        self._update(loss + 0.05 * auxiliary_loss(auxiliary, visible, hidden))

    def naive_step(self, batch: Batch, tasks: list[Batch]) -> None:
        """One step over the same pairs by one pass a task: tasks[k] are the rows as task k may see them."""
        table = self.model.embedding.weight
        self._zero_grad()
        table.grad = torch.zeros_like(table)  # sparse gradients of 68 passes kept apart would not fit into memory
        for own in tasks:
            loss = F.binary_cross_entropy_with_logits(self.model(own)[:, 0], own.labels, reduction="sum")
            (loss / batch.pairs).backward()
        touched = batch.concept_ids.unique()
        with torch.sparse.check_sparse_tensor_invariants(False):
            table.grad = torch.sparse_coo_tensor(touched[None], table.grad[touched], table.shape, is_coalesced=True)
        self._apply()

    def _update(self, loss: torch.Tensor) -> None:
        self._zero_grad()
        loss.backward()
        self._apply()

    def _zero_grad(self) -> None:
        self.dense.zero_grad()
        self.sparse.zero_grad()

    def _apply(self) -> None:
        self.dense.step()
        self.sparse.step()


def measure(
    contenders: dict[str, tuple[Callable[[], None], int]], clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of each step: contenders take turns, so that a busy moment of the machine hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(max(repeats for _, repeats in contenders.values()) + 1):
        for name, (step, repeats) in contenders.items():
            if turn > repeats or (turn == 0 and repeats < 3):  # turn 0 warms up
                continue
            start = clock()
            step()
            if turn:
                times[name].append(clock() - start)
    return times


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--concepts", type=int, default=100)
    parser.add_argument("--vocabulary", type=int, default=100_000)
    parser.add_argument("--hits", type=float, default=1.15)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--naive-repeats", type=int, default=1, help="0: leave the naive form out")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cpu-time", action="store_true", help="CPU instead of wall time: one thread, busy machines")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    if options.cpu_time:  # with more threads it would count those that wait
        options.threads = 1
    torch.set_num_threads(options.threads)

    batch, masks = simulated_batch(options.rows, options.concepts, options.vocabulary, options.hits, seed=0)
    none = TaskMasks([[]] * TASKS, options.vocabulary)
    first = masks.mask_concepts[:1].tolist()
    single_batch = of_task(batch, 0, None)
    single = Trainer(TaskMasks([first], options.vocabulary))
    all_tasks, no_hits = Trainer(masks), Trainer(none)
    generator = torch.Generator().manual_seed(0)
    with_auxiliary = Trainer(masks, AUXILIARY)
    contenders: dict[str, tuple[Callable[[], None], int]] = {
        "one task": (lambda: single.step(single_batch), options.repeats),
        "68 tasks, no mask hits": (lambda: no_hits.step(batch), options.repeats),
        "68 tasks": (lambda: all_tasks.step(batch), options.repeats),
        "68 + 1,000 auxiliary": (lambda: with_auxiliary.step_with_auxiliary(batch, generator), options.repeats),
    }
    if options.naive_repeats:
        rows_of_tasks = [of_task(batch, task, masks) for task in range(TASKS)]
        contenders["naive, 68 tasks"] = (lambda: all_tasks.naive_step(batch, rows_of_tasks), options.naive_repeats)

    clock = time.process_time if options.cpu_time else time.perf_counter
    views = find_hits(batch, masks, None).views
    medians = {name: statistics.median(times) for name, times in measure(contenders, clock).items()}
    lines = [
        f"{options.rows} rows x {batch.concept_ids.numel() / options.rows:.0f} concepts, vocabulary "
        f"{options.vocabulary:,}, {views / options.rows:.2f} mask hits a row; {options.threads} threads, "
        f"{'CPU' if options.cpu_time else 'wall'} time, medians; torch {torch.__version__}",
        f"{'step':24}{'seconds':>9}{'x one task':>12}{'naive / it':>12}",
    ]
    for name, seconds in medians.items():
        naive = medians.get("naive, 68 tasks", float("nan"))
        lines.append(f"{name:24}{seconds:9.3f}{seconds / medians['one task']:12.2f}{naive / seconds:12.1f}")
    sys.stdout.write("\n".join(lines) + "\n")
    if options.json:
        options.json.write_text(json.dumps({"options": vars(options) | {"json": None}, "seconds": medians}, indent=1))


if __name__ == "__main__":
    main()
