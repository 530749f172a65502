"""The rows of days -> partial aggregates, from which weights of any window are put together exactly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config.unfolding import Unfold
from pipeline.daily.day_rules import DAY, DayRule, with_day
from pipeline.exact import EXACT
from pipeline.unfold.associations import explode_parts
from pipeline.unfold.fields import Field

TABLE = "daily_associations"
"""day date, entity_id string, rule string (`source.rule`), value string, and of the events of the day with this value:
events long (aggregate count), total decimal(38,9) (sum; decay, as of the end of the day), most double (max; last: the
weight of the latest event), latest timestamp (last). What the rule's aggregate does not need is null. Of `last` a day
keeps one row for each entity and rule."""
SCHEMA = (
    "day date, entity_id string, rule string, value string, events long, total decimal(38,9), most double, "
    "latest timestamp"
)
_KEY = ("day", "entity_id", "rule", "value")


def day_partials(
    rows_df: DataFrame, rules: Sequence[DayRule], unfold: Unfold, triples_df: DataFrame | None
) -> DataFrame:
    """The rows of `TABLE` for the rows of one source, of whatever days; `rules`: all rules of the source."""
    marked_df = with_day(rows_df, rules[0].source)
    fields = [rule.field(number) for number, rule in enumerate(rules)]
    latest = [field for field in fields if field.rule.aggregate == "last"]
    summed = [field for field in fields if field not in latest]
    parts = []
    if summed:
        each_df = _union(explode_parts(marked_df, summed, unfold, triples_df, DAY))
        parts.append(_summed(each_df, summed, rules))
    if latest:
        each_df = _union(explode_parts(marked_df, latest, unfold, triples_df, DAY, "_time"))
        parts.append(_latest(each_df, rules))
    return _union(parts)


def _summed(each_df: DataFrame, fields: Sequence[Field], rules: Sequence[DayRule]) -> DataFrame:
    """Sums are whole numbers or decimals: no order of rows changes a bit of them."""
    kinds: dict[str, list[int]] = {}
    for field in fields:
        kinds.setdefault(field.kind, []).append(field.number)
    weight = F.col("weight")

    def of(kind: str, value: Column) -> Column:
        return F.when(F.col("field").isin(kinds.get(kind, [])), value)

    # As in associations.weighed_pairs: what has no weight counts only where the weight is not asked for.
    weighing = [*kinds.get("sum", []), *kinds.get("max", [])]
    good_df = each_df.where((weight.isNotNull() & ~F.isnan("weight")) | ~F.col("field").isin(weighing))
    grouped = good_df.groupBy(F.col(DAY).alias("day"), "entity_id", "field", "value")
    summed_df = grouped.agg(
        F.sum(of("count", weight.cast("long"))).alias("events"),
        F.sum(of("sum", weight.cast(EXACT))).cast(EXACT).alias("total"),
        F.max(of("max", weight)).alias("most"),
        F.lit(None).cast("timestamp").alias("latest"),
    )
    return summed_df.select(*_named(rules), "events", "total", "most", "latest")


def _latest(each_df: DataFrame, rules: Sequence[DayRule]) -> DataFrame:
    """As latest.py has it, of each day."""
    good_df = each_df.where(F.col("weight").isNotNull() & ~F.isnan("weight"))
    last = F.max(F.struct("_time", "value", "weight")).alias("last")
    latest_df = good_df.groupBy(F.col(DAY).alias("day"), "entity_id", "field").agg(last)
    return latest_df.select("day", "entity_id", "field", "last.*").select(
        *_named(rules),
        F.lit(None).cast("long").alias("events"),
        F.lit(None).cast(EXACT).alias("total"),
        F.col("weight").alias("most"),
        F.col("_time").alias("latest"),
    )


def _named(rules: Sequence[DayRule]) -> list[Column]:
    names = F.array(*(F.lit(rule.name) for rule in rules))
    rule = F.element_at(names, F.col("field") + 1).alias("rule")
    return [rule if name == "rule" else F.col(name) for name in _KEY]


def _union(parts: Sequence[DataFrame]) -> DataFrame:
    return reduce(DataFrame.unionByName, parts)
