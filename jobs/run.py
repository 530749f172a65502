"""All stages in order, in one Spark session.

`python -m jobs.run --config …` or `spark-submit jobs/run.py --config …`
"""

import logging
import time

from pipeline import align, evaluate, prepare, score, simulate, summary, teach, train, unfold
from pipeline.config import Config
from pipeline.entry import main
from pipeline.layout import Layout
from pipeline.train.build import check_model

logger = logging.getLogger(__name__)


def run(config: Config) -> None:
    """Every stage that the configuration asks for. The report comes last, to show what the others did and took."""
    stages = [unfold, align, train, score, evaluate]
    if teach.is_needed(config):
        stages.insert(stages.index(train), teach)
    if prepare.is_needed(config):
        stages.insert(0, prepare)
    if config.simulates:
        stages.insert(0, simulate)
    check_model(config)  # before hours of unfolding, not after
    seconds: dict[str, float] = {}
    for stage in stages:
        name = stage.__name__.removeprefix("pipeline.")
        logger.info("%s starts", name)
        started = time.monotonic()
        stage.run(config)
        seconds[name] = round(time.monotonic() - started, 1)
        logger.info("%s took %.1f s", name, seconds[name])
        summary.write(Layout.of(config), "timings", seconds)


if __name__ == "__main__":
    main("Run all stages in order, in one Spark session.", run)
