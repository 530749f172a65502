"""Measure the model and write the report.

`python -m jobs.evaluate --config …` or `spark-submit jobs/evaluate.py --config …`
"""

from pipeline.entry import main
from pipeline.evaluate import run

if __name__ == "__main__":
    main("Measure the model and write the report.", run)
