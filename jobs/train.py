"""Train one model for all segments on the shards.

`python -m jobs.train --config …` or `spark-submit jobs/train.py --config …`
"""

from pipeline.entry import main
from pipeline.train import run

if __name__ == "__main__":
    main("Train one model for all segments on the shards.", run)
