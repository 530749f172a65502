"""Several seeds of one configuration: `python -m jobs.experiment --seeds 0 1 2 --config …` or by spark-submit."""

import argparse
import sys

from pipeline.config import Config
from pipeline.entry import main
from pipeline.experiment import run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options, others = parser.parse_known_args()

    def run_seeds(config: Config) -> None:
        """Print the table of the experiment."""
        sys.stdout.write(run(config, options.seeds))

    main("Train and evaluate several seeds (--seeds 0 1 2) on the same shards.", run_seeds, others)
