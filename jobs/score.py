"""Score every entity and write the predictions.

`python -m jobs.score --config …` or `spark-submit jobs/score.py --config …`
"""

from pipeline.entry import main
from pipeline.score import run

if __name__ == "__main__":
    main("Score every entity and write the predictions.", run)
