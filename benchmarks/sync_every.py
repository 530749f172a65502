"""Two ranks that agree every H steps (train.sync_every), for H = 1, 4, 16: quality on validation, and bytes given into
sums over ranks.

    python -m benchmarks.sync_every [--config conf/funnel.yaml] [--set train.epochs=10] [--every 1 4 16]

The data stages run once, under the configuration's own working folder; what is trained stands under sync/H in it.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from typing import Any

from pipeline import summary, train
from pipeline.config import Config, load_config
from pipeline.layout import Layout
from pipeline.runs import in_folder, make_folder, prepare_data

RANKS = 2


def trained(home: Config, every: int) -> dict[str, Any]:
    """The summary of training, and the loss of the last epoch."""
    settings = home.train.model_copy(update={"sync_every": every, "ranks": RANKS, "launcher": "horovodrun"})
    config = in_folder(home.model_copy(update={"train": settings}), f"sync/{every}")
    make_folder(Layout.of(home), Layout.of(config))
    train.run(config)
    lines = [json.loads(line) for line in Layout.of(config).train_log.read_text(encoding="utf-8").splitlines()]
    last = [line for line in lines if line["kind"] == "epoch"][-1]
    return summary.read(Layout.of(config), "train") | {"train_loss": last["train_loss"]}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", action="append")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--every", type=int, nargs="+", default=[1, 4, 16])
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    home = load_config(options.config or ["conf/funnel.yaml"], options.set)
    prepare_data(home)
    rows = [
        "| H | validation AUC | last epoch's loss | MB given into sums | share | s |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    first = None
    for every in options.every:
        facts = trained(home, every)
        sent = facts["bytes_summed"]
        first = first or sent
        rows.append(
            f"| {every} | {facts['validation_auc']:.4f} | {facts['train_loss']:.4f} | {sent / 1e6:.1f} | "
            f"{sent / first:.3f} | {facts['seconds']:.1f} |"
        )
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
