"""Airflow 3: every day a model of the last days that have all their labels, predictions and a report, by spark-submit.

Put this file into Airflow's folder of DAGs and set the variables below where Airflow runs. The strings with {{ }} are
Airflow's to fill in. A stage replaces what it wrote before, so a task may be retried or cleared at any time.

    METACON_HOME     the checkout, after `make setup package`, on a disk that all nodes see
    METACON_CONFIG   the configuration of the run: your own, as in the README (needed)
    METACON_MASTER   Spark's master (default: local[*])
    METACON_HORIZON  unfold.horizon_days of the configuration (default: 7): the cutoff lies so many days back, so that
                     every label is known
    METACON_DRIVER_MEMORY  the driver's heap (default: 4g)

The predictions are of the vectors at that cutoff, METACON_HORIZON days before the run_date they are filed under. To
score today's vectors set unfold.vocabulary.ids: stable and add two tasks after evaluate: unfold with
--set unfold.cutoff={{ ds }}, then score.
"""

from __future__ import annotations

import os
import shlex
from datetime import datetime, timedelta
from itertools import pairwise

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

HOME = os.environ.get("METACON_HOME", "/opt/metacon")
CONFIG = os.environ["METACON_CONFIG"]
MASTER = os.environ.get("METACON_MASTER", "local[*]")
DRIVER_MEMORY = os.environ.get("METACON_DRIVER_MEMORY", "4g")
HORIZON = int(os.environ.get("METACON_HORIZON", "7"))

STAGES = ("prepare", "unfold", "align", "teach", "train", "score", "evaluate")  # those with nothing to do say so
OVERRIDES = (
    f"unfold.cutoff={{{{ macros.ds_add(ds, -{HORIZON}) }}}}",
    "score.run_date={{ ds }}",
    "score.run_id=day_{{ ds_nodash }}",
)


def command(stage: str) -> str:
    """The shell command of a stage; every argument is a plain string."""
    words = [f"{HOME}/.venv/bin/spark-submit", "--master", MASTER, "--driver-memory", DRIVER_MEMORY]
    words += ["--py-files", f"{HOME}/dist/metacon.zip"]
    words += [f"{HOME}/jobs/{stage}.py", "--config", CONFIG]
    for override in OVERRIDES:
        words += ["--set", override]
    return shlex.join(words)


with DAG(
    dag_id="metacon_daily",
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,  # one writer at a time
    default_args={"retries": 1, "retry_delay": timedelta(minutes=5)},
) as dag:
    tasks = [
        BashOperator(
            task_id=stage,
            bash_command=command(stage),
            cwd=HOME,
            env={"PYSPARK_PYTHON": f"{HOME}/.venv/bin/python"},
            append_env=True,
        )
        for stage in STAGES
    ]
    for earlier, later in pairwise(tasks):
        earlier >> later
