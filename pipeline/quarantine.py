"""Bad rows, kept with the reason: the table `quarantine`, each stage replacing its own part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.session import get_session
from pipeline.tables import Tables

TABLE = "quarantine"
SCHEMA = "stage string, source string, reason string, row string"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    source: str
    reason: str
    row: dict[str, Any]


class Quarantine:
    """The bad rows of one stage (`stage string, source string, reason string, row string`, the row as JSON)."""

    def __init__(self, config: Config, stage: str) -> None:
        self._spark = get_session(config)
        self._tables = Tables(config, self._spark)
        self._delta = config.spark.tables == "delta"
        self._stage = stage

    def replace(self, bad: Sequence[BadRow]) -> None:
        """Put these rows in place of what the stage had there."""
        rows = [(self._stage, one.source, one.reason, json.dumps(one.row)) for one in bad]
        if rows or self._tables.exists(TABLE):
            self.replace_df(self._spark.createDataFrame(rows, SCHEMA))

    def replace_df(self, bad_df: DataFrame) -> None:
        """The same for a DataFrame with the columns source, reason and row."""
        bad_df = bad_df.select(F.lit(self._stage).alias("stage"), "source", "reason", "row")
        if self._delta:
            self._tables.replace_where(TABLE, bad_df, f"stage = '{self._stage}'", ["stage"])
            return
        if self._tables.exists(TABLE):
            others_df = self._tables.read(TABLE).where(F.col("stage") != self._stage)
            bad_df = others_df.select(*SCHEMA.replace(" string", "").split(", ")).unionByName(bad_df)
        self._tables.replace(TABLE, bad_df)
