"""Unfold day by day: `python -m jobs.daily --from 2026-02-01 --to 2026-02-01 --config …` or by spark-submit."""

from argparse import Namespace

from pipeline.config import Config
from pipeline.daily import run
from pipeline.entry import main_with_options, own_options


def run_days(config: Config, options: Namespace) -> None:
    """Those that were asked for, and late ones."""
    run(config, options.first, options.last, vectors=not options.no_vectors)


if __name__ == "__main__":
    own = own_options()
    own.add_argument(
        "--from", dest="first", metavar="DAY", help="YYYY-MM-DD; without --from and --to: days that never were unfolded"
    )
    own.add_argument("--to", dest="last", metavar="DAY", help="last day, that one included")
    own.add_argument("--no-vectors", action="store_true", help="do not put the vectors at the cutoff together")
    main_with_options(
        "Unfold days and those with late events, then put the vectors at the cutoff together.", own, run_days
    )
