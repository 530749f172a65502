"""The spark launcher: ranks as tasks of the running session."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline import summary
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.modelfolder import load_model
from pipeline.train import run
from tests.pipeline.train.worlds import config_for, write_world

SPARK = ("train.launcher=spark", "train.ranks=2", "train.lanes=2")


def test_two_spark_tasks_train_one_model(spark: SparkSession, tmp_path: Path) -> None:
    write_world(tmp_path)
    config = config_for(tmp_path, *SPARK)
    run(config)
    facts = summary.read(Layout.of(config), "train")
    assert facts["ranks"] == 2
    assert facts["steps"] == 16
    assert load_model(Layout.of(config)).spec.metrics["validation"]["mean"] == facts["validation_auc"]


def test_more_ranks_than_spark_slots_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    write_world(tmp_path)
    with pytest.raises(UserError, match=r"4 ranks, but Spark \(local\[2\]\) has 2 slots"):
        run(config_for(tmp_path, "train.launcher=spark", "train.ranks=4"))
