"""Tune models on validation: `jobs.tune --models esmm --config conf/tune/spaces.yaml --config conf/compare/X.yaml`."""

import sys
from argparse import Namespace
from pathlib import Path

from pipeline.config import Config
from pipeline.entry import main_with_options, own_options
from pipeline.tune import run


def tune(config: Config, options: Namespace) -> None:
    """Print the tables."""
    sys.stdout.write(run(config, options.models, options.to or Path("conf/tuned") / config.run.name))


if __name__ == "__main__":
    own = own_options()
    own.add_argument("--models", nargs="+", default=[], help="names of compare.models (default: all)")
    own.add_argument("--to", type=Path, help="folder for the values found (default: conf/tuned/ and the run's name)")
    main_with_options("Tune models on validation, each with the same number of trials.", own, tune)
