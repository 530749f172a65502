"""Align segments into task-mixed shards.

`python -m jobs.align --config …` or `spark-submit jobs/align.py --config …`
"""

from pipeline.align import run
from pipeline.entry import main

if __name__ == "__main__":
    main("Align segments into task-mixed shards.", run)
