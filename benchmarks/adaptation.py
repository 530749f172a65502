"""Online adaptation of every segment: the time it takes as a share of the meta training's, and what it changes.

    python -m benchmarks.adaptation [--config conf/adult68.yaml] [--set train.epochs=3]

The data stages run once, under the configuration's own working folder; the model stands under adaptation/ in it. A
segment whose model is kept on validation (not adapted) counts as unchanged; the test split is measured, not chosen by.
"""

from __future__ import annotations

import argparse
import logging
import sys

import numpy as np

from pipeline import adapt, summary, train
from pipeline.config import load_config
from pipeline.evaluate.metrics import auc
from pipeline.evaluate.predict import predict
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


def main() -> None:
    """Print a Markdown table and the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", action="append")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    home = load_config(options.config or ["conf/adult68.yaml"], options.set)
    prepare_data(home)
    config = in_folder(home, "adaptation")
    layout = Layout.of(config)
    make_folder(Layout.of(home), layout)
    train.run(config)
    before = test_aucs(layout)
    adapt.run(config)
    after = test_aucs(layout)
    training = summary.read(layout, "train")["seconds"]
    segments = summary.read(layout, "adapt")["segments"]
    seconds = np.array([facts["seconds"] for facts in segments.values()])
    better = {name: facts for name, facts in segments.items() if facts["rate"] is not None}
    validation = np.array([facts["auc_after"] - facts["auc_before"] for facts in better.values()])
    test = np.array([after[name] - before[name] for name in better])
    rows = [
        "| segments | adapted | mean change on validation | mean change on test | better on test | worse |",
        "|---:|---:|---:|---:|---:|---:|",
        f"| {len(segments)} | {len(better)} | {_mean(validation)} | {_mean(test)} | {int((test > 0).sum())} | "
        f"{int((test < 0).sum())} |",
        "",
        f"Training took {training:.1f} s, adaptation of a segment {np.median(seconds):.2f} s (median; the slowest "
        f"{seconds.max():.2f} s): {100 * np.median(seconds) / training:.2f} % of it, at most "
        f"{100 * seconds.max() / training:.2f} %.",
    ]
    sys.stdout.write("\n".join(rows) + "\n")


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():+.4f}" if len(values) else "–"


if __name__ == "__main__":
    main()
