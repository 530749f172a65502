"""Unfold event sources into concept vectors.

`python -m jobs.unfold --config …` or `spark-submit jobs/unfold.py --config …`
"""

from pipeline.entry import main
from pipeline.unfold import run

if __name__ == "__main__":
    main("Unfold event sources into concept vectors.", run)
