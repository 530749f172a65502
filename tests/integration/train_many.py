"""Train one configuration after the other as a rank of one job: `python -m tests.integration.train_many A.yaml B.yaml`.

Starting ranks takes longer than training a tiny model.
"""

from __future__ import annotations

import sys

from pipeline.config import load_config
from pipeline.train import run

if __name__ == "__main__":
    for path in sys.argv[1:]:
        run(load_config([path]))
