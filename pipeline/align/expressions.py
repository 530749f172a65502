"""Labels by Spark SQL expressions over a source: one pass over the source, whatever the number of segments."""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType

from pipeline.align.hits import Numbered, array_of, bad_value, class_index, hit, not_finite
from pipeline.align.spaces import condition_of
from pipeline.config.segments import Segment
from pipeline.config.unfolding import Unfold
from pipeline.errors import UserError
from pipeline.exact import EXACT
from pipeline.examples import after_each_cutoff

ENTITY, TIME = "_entity", "_time"
"""The columns that `pipeline.sources` adds to a source's rows."""


def label_window(rows_df: DataFrame, unfold: Unfold) -> DataFrame:
    """The rows of a source with times that labels come from: [cutoff, cutoff + horizon). Of several cutoffs those of
    each, as examples (pipeline/examples.py)."""
    if unfold.cutoff is None:
        raise UserError("a segment's label is over a source with times: set unfold.cutoff (labels come after it)")
    if unfold.cutoffs:
        return after_each_cutoff(rows_df, unfold)
    cutoff = datetime.fromisoformat(unfold.cutoff)
    end = cutoff + timedelta(days=unfold.horizon_days)
    return rows_df.where((F.col(TIME) >= _instant(cutoff)) & (F.col(TIME) < _instant(end)))


def source_hits(rows_df: DataFrame, segments: list[Numbered], timed: bool) -> DataFrame:
    """entity_id, hits, bad (see hits.py) from a source's rows `_entity`, `_time` where `timed`, and its columns.

    Raises UserError for an expression or condition that Spark cannot resolve, naming the segment.
    """
    aggregates, results = [], []
    for task, segment in segments:
        value = _expression(rows_df, segment, segment.label.expression or "", "label.expression")
        aggregates += [one.alias(f"{name}_{task}") for name, one in _aggregates(rows_df, segment, value, timed).items()]
        results.append(_result(task, segment))
    per_entity_df = rows_df.groupBy(F.col(ENTITY).alias("entity_id")).agg(*aggregates)
    return per_entity_df.select(
        "entity_id",
        array_of(hit_column for hit_column, _ in results).alias("hits"),
        array_of(bad for _, bad in results).alias("bad"),
    )


def _aggregates(rows_df: DataFrame, segment: Segment, value: Column, timed: bool) -> dict[str, Column]:
    """value: the label before it is checked; member: whether the sample space's condition holds for a row."""
    how = segment.label.aggregate
    kind = rows_df.select(value).schema[0].dataType
    if segment.kind == "multiclass":
        value = class_index(value, kind, segment.classes)
    elif how == "any":
        value = value.cast("boolean")
    elif how == "count":
        value = F.when(value, 1) if isinstance(kind, BooleanType) else F.when(value.isNotNull(), 1)
    else:
        value = value.cast("double")
    if how == "last":
        order = [F.col(TIME)] if timed else []
        found = F.max(F.when(value.isNotNull(), F.struct(*order, value.alias("value"))))["value"]
    elif how == "sum":
        # In decimals, so that the sum does not depend on how rows were shuffled, and no list of them is held.
        exact = value.try_cast(EXACT)
        beyond = F.max(value.isNotNull() & exact.isNull())  # NaN, infinite, or too large
        found = F.when(beyond, F.lit(float("nan"))).otherwise(F.sum(exact).cast("double"))
    else:
        found = {"any": F.max, "max": F.max, "count": F.count}[how](value)
    columns = {"value": found}
    condition = condition_of(segment)
    if condition is not None:
        holds = _expression(rows_df, segment, condition, "sample_space").cast("boolean")
        columns["member"] = F.max(F.coalesce(holds, F.lit(False)))
    return columns


def _result(task: int, segment: Segment) -> tuple[Column, Column]:
    """The hit and the bad value of one task, from the aggregated columns."""
    value = F.col(f"value_{task}")
    member = F.lit(True) if condition_of(segment) is None else F.col(f"member_{task}")
    reason = F.lit(None).cast("string")
    if segment.kind == "binary":
        label = F.coalesce(value.cast("double") > 0, F.lit(False)).cast("double")
    elif segment.kind == "regression":
        label = F.when(~not_finite(value.cast("double")), value.cast("double"))
        reason = F.when(not_finite(value.cast("double")), F.lit("label is not a finite number"))
    else:
        label = F.when(value >= 0, value.cast("double"))
        reason = F.when(value < 0, F.lit(f"label is none of the classes {', '.join(segment.classes)}"))
    return hit(F.lit(task), segment, label, member), bad_value(task, F.when(member, reason))


def _expression(rows_df: DataFrame, segment: Segment, text: str, key: str) -> Column:
    try:
        column = F.expr(text)
        rows_df.agg(F.count(column))  # of each row: neither aggregates nor windows, which label.aggregate is for
    except (AnalysisException, ParseException) as error:
        columns = ", ".join(name for name in rows_df.columns if not name.startswith("_"))
        message = str(error).strip().splitlines()[0]
        raise UserError(
            f"segment {segment.name}: {key} {text!r} does not fit source {segment.label.source}: {message}; "
            f"columns there: {columns}; it is of one row, and label.aggregate says how rows become a label"
        ) from None
    return column


def _instant(moment: datetime) -> Column:
    return F.lit(moment.isoformat(sep=" ")).cast("timestamp")
