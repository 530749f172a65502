"""Make raw files of a known data set into events.

`python -m jobs.prepare --config …` or `spark-submit jobs/prepare.py --config …`
"""

from pipeline.entry import main
from pipeline.prepare import run

if __name__ == "__main__":
    main("Make raw files of a known data set into events.", run)
