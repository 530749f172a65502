"""Online adaptation of every segment: the time it takes as a share of the meta training's, and what it changes.

    python -m benchmarks.adaptation [--config conf/adult68.yaml] [--set train.epochs=3] [--seeds 0 1 2]

The data stages run once, under the configuration's own working folder; the model stands under adaptation/SEED in it. A
segment whose model is kept on validation (not adapted) counts as unchanged; the test split is measured, not chosen by.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import dataclass

import numpy as np

from pipeline import adapt, summary, train
from pipeline.config import Config, load_config
from pipeline.evaluate.metrics import auc
from pipeline.evaluate.predict import predict
from pipeline.experiment import with_seed
from pipeline.layout import Layout
from pipeline.modelfolder import load_model
from pipeline.runs import in_folder, make_folder, prepare_data
from pipeline.shards.batches import load_csr
from pipeline.shards.dataset import open_shards


def test_aucs(layout: Layout) -> dict[str, float]:
    """Of each binary segment, by the current model."""
    shards, loaded = open_shards(layout, checksums=False), load_model(layout)
    found = predict(loaded.model, load_csr(shards, "query"), shards.tasks).tasks
    pairs = zip(shards.tasks, found, strict=True)
    return {task.name: auc(of.labels, of.scores) for task, of in pairs if task.kind == "binary"}


@dataclass(frozen=True, slots=True)
class Adapted:
    """What adaptation did to one trained model: the segments it changed, with their change of AUC, and its time."""

    segments: int
    validation: np.ndarray
    test: np.ndarray
    training_seconds: float
    seconds: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """[segments] of the training's time, in %."""
        return 100 * self.seconds / self.training_seconds


def measure(home: Config, seed: int) -> Adapted:
    """Train with a seed on the data of `home`, adapt every segment, and judge on test what changed."""
    config = with_seed(in_folder(home, f"adaptation/{seed}"), seed)
    layout = Layout.of(config)
    make_folder(Layout.of(home), layout)
    train.run(config)
    before = test_aucs(layout)
    adapt.run(config)
    after = test_aucs(layout)
    segments = summary.read(layout, "adapt")["segments"]
    changed = {name: facts for name, facts in segments.items() if facts["rate"] is not None}
    return Adapted(
        segments=len(segments),
        validation=np.array([facts["auc_after"] - facts["auc_before"] for facts in changed.values()]),
        test=np.array([after[name] - before[name] for name in changed]),
        training_seconds=summary.read(layout, "train")["seconds"],
        seconds=np.array([facts["seconds"] for facts in segments.values()]),
    )


def main() -> None:
    """Print a Markdown table, a line a seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", action="append")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    home = load_config(options.config or ["conf/adult68.yaml"], options.set)
    prepare_data(home)
    _write(
        "| seed | segments | adapted | change on validation | on test | better on test | worse | training, s "
        "| a segment, s (median, slowest) | share of training, % (median, slowest) |"
    )
    _write("|" + "---:|" * 10)
    for seed in options.seeds or [home.train.seed]:
        found = measure(home, seed)
        _write(
            f"| {seed} | {found.segments} | {len(found.test)} | {_mean(found.validation)} | {_mean(found.test)} "
            f"| {int((found.test > 0).sum())} | {int((found.test < 0).sum())} | {found.training_seconds:.1f} "
            f"| {np.median(found.seconds):.2f}, {found.seconds.max():.2f} "
            f"| {np.median(found.shares):.2f}, {found.shares.max():.2f} |"
        )


def _write(line: str) -> None:
    """At once: a seed takes minutes, and a later one may be stopped."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():+.4f}" if len(values) else "–"


if __name__ == "__main__":
    main()
