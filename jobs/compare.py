"""All models of `compare.models` beside each other: `python -m jobs.compare --seeds 0 1 2 --config …`."""

import sys
from argparse import Namespace

from pipeline.compare import run
from pipeline.config import Config
from pipeline.entry import main_with_options, own_options


def compare(config: Config, options: Namespace) -> None:
    """Print the tables."""
    sys.stdout.write(run(config, options.seeds, options.models))


if __name__ == "__main__":
    own = own_options()
    own.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    own.add_argument("--models", nargs="+", default=[], help="names of compare.models (default: all)")
    main_with_options("Train every model with several seeds on the same shards and compare.", own, compare)
