"""Align segments into task-mixed shards.

`python -m jobs.align --config …` or `spark-submit jobs/align.py --config …`
"""

from pipeline.entry import main
from pipeline.align import run

if __name__ == "__main__":
    main("Align segments into task-mixed shards.", run)
