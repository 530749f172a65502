"""Several cutoffs (`unfold.cutoffs`): an example is an entity at one of them, with an id of its own.

    u7@2026-03-01T00:00:00      the entity u7 as it was known before 2026-03-01, its labels from then on

Such ids stand wherever an entity_id does from unfolding on. An entity's examples are all in one split.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config.unfolding import Unfold

CUTOFF = "_cutoff"
"""The cutoff of a row's example."""
_END = "_end"
_SUFFIX = len("@2026-03-01T00:00:00")


def cutoff_of(unfold: Unfold) -> Column:
    """The cutoff of a row, as timestamp."""
    return F.col(CUTOFF) if unfold.cutoffs else F.lit(unfold.cutoff).cast("timestamp")


def before_each_cutoff(rows_df: DataFrame, timed: bool, unfold: Unfold) -> DataFrame:
    """A source's rows once for each example that they are features of: `_entity` is the example, `_cutoff` its cutoff.

    Rows without times count at every cutoff.
    """
    each_df = _at_each(rows_df, unfold).drop(_END)
    return _as_examples(each_df.where(F.col("_time") < F.col(CUTOFF)) if timed else each_df)


def after_each_cutoff(rows_df: DataFrame, unfold: Unfold) -> DataFrame:
    """The same for labels: the rows of each [cutoff, cutoff + horizon)."""
    each_df = _at_each(rows_df, unfold)
    inside = (F.col("_time") >= F.col(CUTOFF)) & (F.col("_time") < F.col(_END))
    return _as_examples(each_df.where(inside).drop(_END))


def entity_of(example: Column, unfold: Unfold) -> Column:
    """The entity of an example; the same where there is one cutoff."""
    return F.substring(example, F.lit(1), F.length(example) - _SUFFIX) if unfold.cutoffs else example


def entity_of_id(example: str, unfold: Unfold) -> str:
    return example[:-_SUFFIX] if unfold.cutoffs else example


def as_examples(rows_df: DataFrame, cutoff: str) -> DataFrame:
    """Rows of one cutoff as those of its examples."""
    return _as_examples(rows_df.withColumn(CUTOFF, _instant(datetime.fromisoformat(cutoff))))


def _at_each(rows_df: DataFrame, unfold: Unfold) -> DataFrame:
    horizon = timedelta(days=unfold.horizon_days)
    each = [
        F.struct(_instant(cutoff).alias(CUTOFF), _instant(cutoff + horizon).alias(_END))
        for cutoff in map(datetime.fromisoformat, unfold.cutoffs)
    ]
    return rows_df.select("*", F.inline(F.array(*each)))


def _as_examples(rows_df: DataFrame) -> DataFrame:
    suffix = F.date_format(CUTOFF, "'@'yyyy-MM-dd'T'HH:mm:ss")
    return rows_df.withColumn("_entity", F.concat("_entity", suffix))


def _instant(moment: datetime) -> Column:
    return F.lit(moment.isoformat(sep=" ")).cast("timestamp")
