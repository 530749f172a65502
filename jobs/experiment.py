"""Several seeds of one configuration: `python -m jobs.experiment --seeds 0 1 2 --config …` or by spark-submit."""

import sys
from argparse import Namespace

from pipeline.config import Config
from pipeline.entry import main_with_options, own_options
from pipeline.experiment import run


def run_seeds(config: Config, options: Namespace) -> None:
    """Print the table of the experiment."""
    sys.stdout.write(run(config, options.seeds))


if __name__ == "__main__":
    own = own_options()
    own.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    main_with_options("Train and evaluate several seeds on the same shards.", own, run_seeds)
