"""The training loop of one rank: steps, validation, checkpoints."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from torch import nn

from models.batch import Batch
from models.ensemble import members_of
from models.hiding import HiddenConcepts
from pipeline.faults import fault_point
from pipeline.train.build import sparse_parameters
from pipeline.train.checkpoint import Checkpoint, Progress, write_checkpoint
from pipeline.train.context import Context
from pipeline.train.ema import MovingAverage
from pipeline.train.exchange import Exchange, PeriodicExchange
from pipeline.train.gradients import Gradients
from pipeline.train.not_finite import not_finite
from pipeline.train.objective import Loss, Objective
from pipeline.train.optimizer import Optimizer
from pipeline.train.selection import Selection, load_moving, moving_tensors
from pipeline.train.start import shared_implications
from pipeline.train.steps import Step, seed_dropout, steps_of_epoch, steps_per_epoch
from pipeline.train.telling import Teller
from pipeline.train.validation import Quality, judge, score_pairs

Watch = Callable[[int, Quality], None]
"""Is told the number of epochs done and how the last one validated."""


class Loop:
    """A model in training. Every rank makes the same calls in the same order; only rank 0 writes."""

    def __init__(self, model: nn.Module, objective: Objective, context: Context, fingerprint: str) -> None:
        settings = context.settings
        self.progress = Progress(fingerprint=fingerprint)
        self.steps_per_epoch = steps_per_epoch(context.shards, settings, context.world.size)
        self.total_steps = self.steps_per_epoch * settings.epochs
        self._model, self._objective, self._context = model, objective, context
        sparse = sparse_parameters(model)
        parameters = dict(model.named_parameters())
        dense = [parameter for name, parameter in parameters.items() if name not in sparse]
        rows = [parameters[name] for name in sparse]
        self._gradients = Gradients(dense, rows, statistics=2, members=members_of(model))
        self._exchange = Exchange(self._gradients, context.world, facts=3)
        if settings.sync_every > 1 and context.world.size > 1:
            self._exchange = PeriodicExchange(self._gradients, context.world, 3, dense, rows)
        self._not_finite_here: tuple[Loss | None, Batch] | None = None
        self._optimizer = Optimizer(model, sparse, settings, self.total_steps)
        self._average = MovingAverage(model, settings.ema, sparse) if settings.ema else None
        self._selection = Selection(settings)
        self._with_auxiliary = getattr(members_of(model)[0], "auxiliary", None) is not None
        self._implications = (
            shared_implications(context.shards, settings.auxiliary.tasks, context.world)
            if self._with_auxiliary
            else None
        )
        self._synchronised = 0
        """The step after which ranks last agreed."""
        self._began = 0.0

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same fingerprint."""
        self.progress = checkpoint.progress
        self._synchronised = checkpoint.progress.step
        load_moving(self._model, checkpoint.part("model"))
        self._optimizer.load_state(checkpoint.part("optimizer"))
        if self._average is not None:
            self._average.load_state(checkpoint.part("average"))
        self._selection.weights = checkpoint.part("best")
        if isinstance(self._exchange, PeriodicExchange):
            self._exchange.start()

    def run(self, watch: Watch | None = None) -> None:
        """Train to the last epoch or until patience is at its end; then the model holds the best epoch's weights.

        watch: called after each epoch; what it raises ends the training.
        """
        progress, context = self.progress, self._context
        self._began = time.monotonic() - progress.seconds
        teller = Teller(context, progress, self.total_steps)
        if progress.step == 0:
            teller.start(self._validate())
        while not self._selection.is_over(progress):
            for step in self._steps():
                self._take(step, teller)
            quality = self._end_epoch(teller)
            if watch is not None:
                watch(progress.epoch, quality)
        teller.close()
        if self._selection.weights:
            load_moving(self._model, self._selection.weights)

    def judge_again(self) -> None:
        """The weights have changed since the best epoch: its validation figures give way to theirs."""
        self.progress.best = dataclasses.asdict(self._validate())

    def _steps(self) -> Iterator[Step]:
        """What is left of the epoch."""
        context, progress = self._context, self.progress
        return steps_of_epoch(
            context.shards, context.settings, context.world, progress.epoch, progress.epoch_step, self._implications
        )

    def _take(self, step: Step, teller: Teller) -> None:
        """One global step: forward and backward here, gradients combined, parameters moved; perhaps synchronised."""
        progress, settings, world = self.progress, self._context.settings, self._context.world
        fault_point(f"train:step:{progress.step}:rank:{world.rank}")
        self._gradients.clear()
        for member in members_of(self._model):
            member.on_step(progress.step, self.total_steps)  # type: ignore[operator]
        visible = self._objective.examples(step.visible.to(self._context.device))
        loss = self._backward(step, visible)
        self._exchange.combine()
        facts = self._gradients.statistics.tolist()
        # Ranks that step by themselves each know a norm of their own: their mean is told.
        norm = self._gradients.clip(settings.clip_norm)
        facts.append(norm / world.size if self._exchange.periodic else norm)
        if not math.isfinite(sum(facts)) and self._not_finite_here is None:
            self._not_finite_here = (loss, visible)
        if self._average is not None:
            self._average.before_step()
        self._optimizer.step(progress.step)
        if self._average is not None:
            self._average.after_step()
        self._exchange.note(facts)
        progress.step, progress.epoch_step = progress.step + 1, step.number + 1
        if progress.epoch_step % settings.sync_every == 0 or progress.epoch_step == self.steps_per_epoch:
            self._synchronise(teller)

    def _synchronise(self, teller: Teller) -> None:
        """Ranks agree on parameters; tell of the steps since the last time; checkpoint where one is due."""
        progress, context, settings = self.progress, self._context, self._context.settings
        steps = progress.step - self._synchronised
        if self._average is not None and self._exchange.periodic:
            self._average.catch_up()
        segments, auxiliary, norm = self._exchange.synchronise()
        if not math.isfinite(segments + auxiliary + norm):
            raise not_finite(context, progress, *(self._not_finite_here or (None, None)))
        progress.epoch_loss += segments * steps
        progress.seconds = time.monotonic() - self._began
        rate = self._optimizer.learning_rate(progress.step - 1)
        facts = {"loss": segments, "auxiliary_loss": auxiliary, "gradient_norm": norm, "learning_rate": rate}
        teller.step(progress, self._synchronised, **facts)
        if self._passed(settings.checkpoint_every) and progress.epoch_step < self.steps_per_epoch:
            self._average_over_ranks()
            self._checkpoint()
        self._synchronised = progress.step

    def _passed(self, every: int) -> bool:
        """Whether a multiple of so many steps has been passed since ranks last agreed."""
        return self.progress.step // every > self._synchronised // every

    def _average_over_ranks(self) -> None:
        if self._average is not None and self._exchange.periodic:
            self._average.average_over(self._context.world)

    def _backward(self, step: Step, visible: Batch) -> Loss | None:
        """Gradients of this rank's rows; none where it has no row, as in a data set smaller than its lanes."""
        context = self._context
        if visible.pairs == 0:
            return None
        self._model.train()
        seed_dropout(context.settings, context.world, self.progress.epoch, step.number)
        hidden = HiddenConcepts(
            rows=step.hidden.rows.to(context.device), concept_ids=step.hidden.concept_ids.to(context.device)
        )
        with context.autocast():
            loss = self._objective(self._model, visible, hidden, self._with_auxiliary)
        loss.total.backward()
        self._gradients.statistics.copy_(torch.stack([loss.segments, loss.auxiliary]))
        return loss

    def _end_epoch(self, teller: Teller) -> Quality:
        """Validate (the average, where there is one), remember the best epoch, checkpoint."""
        progress = self.progress
        self._average_over_ranks()
        with self._average.in_place() if self._average is not None else nullcontext():
            quality = self._validate()
            self._selection.offer(self._model, quality, progress)
        progress.seconds = time.monotonic() - self._began
        train_loss = progress.epoch_loss / max(1, self.steps_per_epoch)
        teller.epoch(progress, train_loss, quality)
        progress.epoch, progress.epoch_step, progress.epoch_loss = progress.epoch + 1, 0, 0.0
        self._checkpoint()
        return quality

    def _validate(self) -> Quality:
        scores = score_pairs(self._model, self._context, "validation", self._objective.standardised)
        groups = [task.group for task in self._context.shards.manifest.tasks]
        return judge(scores, self._context.shards.tasks, groups)

    def _checkpoint(self) -> None:
        average = self._average.state() if self._average is not None else {}
        if self._context.world.is_first:
            parts = {
                "model": moving_tensors(self._model),
                "optimizer": self._optimizer.state(),
                "average": average,
                "best": self._selection.weights,
            }
            write_checkpoint(self._context.layout.checkpoints, self.progress, parts)
