"""Simulate events, a knowledge base and segment labels.

`python -m jobs.simulate --config …` or `spark-submit jobs/simulate.py --config …`
"""

from pipeline.entry import main
from pipeline.simulate import run

if __name__ == "__main__":
    main("Simulate events, a knowledge base and segment labels.", run)
