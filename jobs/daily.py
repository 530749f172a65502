"""Unfold day by day: `python -m jobs.daily --from 2026-02-01 --to 2026-02-01 --config …` or by spark-submit."""

import argparse

from pipeline.config import Config
from pipeline.daily import run
from pipeline.entry import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--from", dest="first", metavar="DAY")
    parser.add_argument("--to", dest="last", metavar="DAY")
    parser.add_argument("--no-vectors", action="store_true")
    options, others = parser.parse_known_args()

    def run_days(config: Config) -> None:
        """Those that were asked for, and late ones."""
        run(config, options.first, options.last, vectors=not options.no_vectors)

    main(
        "Unfold the days --from DAY --to DAY (none: those before the cutoff that never were) and days with late "
        "events, then put the vectors at the cutoff together (--no-vectors: not).",
        run_days,
        others,
    )
