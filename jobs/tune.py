"""Tune models on validation: `jobs.tune --models esmm --config conf/tune/spaces.yaml --config conf/compare/X.yaml`."""

import argparse
import sys
from pathlib import Path

from pipeline.config import Config
from pipeline.entry import main
from pipeline.tune import run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--models", nargs="+", default=[])
    parser.add_argument("--to", type=Path)
    options, others = parser.parse_known_args()

    def tune(config: Config) -> None:
        """Print the tables."""
        sys.stdout.write(run(config, options.models, options.to or Path("conf/tuned") / config.run.name))

    main("Tune models (--models; default: all) on validation; values go to conf/tuned/RUN (--to).", tune, others)
