"""All models of `compare.models` beside each other: `python -m jobs.compare --seeds 0 1 2 --config …`."""

import argparse
import sys

from pipeline.compare import run
from pipeline.config import Config
from pipeline.entry import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", default=[])
    options, others = parser.parse_known_args()

    def compare(config: Config) -> None:
        """Print the tables."""
        sys.stdout.write(run(config, options.seeds, options.models))

    main("Train every model (--models: some) with several seeds on the same shards and compare.", compare, others)
