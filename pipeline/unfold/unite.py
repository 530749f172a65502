"""All sources -> one weight for each entity and concept, held till the stage ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Literal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.unfold.associations import DAY, exploded, masks_by_entity, weighed_pairs
from pipeline.unfold.counts import countable, counted_pairs, keys_by_entity, partitions_for
from pipeline.unfold.fields import Field
from pipeline.unfold.profile import bucket_of
from pipeline.unfold.sql_rules import as_field, name_of

_SETTINGS = {
    # So many entities' lists are collected at once in a task; those of more from sorted rows, one after the other.
    "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "8192",
    # An entity's row is long.
    "spark.sql.inMemoryColumnarStorage.batchSize": "1000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """events: rows in the window of all sources; crowded: buckets of entities, one of which may have very many
    (profile.py)."""

    events: int
    crowded: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Associations:
    """pairs_df: entity_id, key, weight double; masks_df: entity_id and the masks (fields.py), one row an entity that
    has an association; exploded_df: field, value of all rows (associations.py), and their day where the profile is to
    have drift; counts: whether all weights are counts; rows_of: what rows of exploded_df stand for.
    """

    pairs_df: DataFrame
    masks_df: DataFrame
    exploded_df: DataFrame
    counts: bool
    rows_of: Literal["events", "days of entities"] = "events"


def exploded_rows(
    config: Config,
    rows: dict[str, DataFrame],
    triples_df: DataFrame | None,
    fields: Sequence[Field],
    days: bool = False,
) -> DataFrame:
    """entity_id, field, weight, value (associations.py) of the rows of each source with rules, and of each sql rule
    (sql_rules.py). Raises UserError for a rule that cannot read its column."""
    unfold = config.unfold
    plain = [field for field in fields if field.rule.kind != "sql"]
    own = {name: [field for field in plain if field.source.name == name] for name in rows}
    parts = [exploded(rows[name], of[0].source, of, unfold, triples_df, days) for name, of in own.items() if of]
    for field in fields:
        if field.rule.kind == "sql":
            one = as_field(field)
            parts.append(exploded(rows[name_of(field.source, field.rule)], one.source, [one], unfold, None, days))
    return reduce(DataFrame.unionByName, parts)


def unite(
    config: Config,
    rows: dict[str, DataFrame],
    triples_df: DataFrame | None,
    fields: Sequence[Field],
    exploded_df: DataFrame,
    load: Load,
    seed: int,
    keep: Callable[[DataFrame], DataFrame],
) -> Associations:
    """rows: as `exploded_rows` takes them; exploded_df: what it made of all fields; seed: of the keys; `keep` caches a
    DataFrame."""
    unfold = config.unfold
    counted = [field for field in fields if countable(field)]
    weighed = [field for field in fields if field not in counted]
    crowded = F.lit(False) if not load.crowded else bucket_of().isin(sorted(load.crowded))

    pairs_dfs, masks_dfs = [], []
    if counted:
        sources = {field.source.name for field in counted}
        of_counted = {name: rows_df.where(~crowded) for name, rows_df in rows.items() if name in sources}
        spark = next(iter(of_counted.values())).sparkSession
        most = int(str(spark.conf.get("spark.sql.shuffle.partitions")))
        partitions = partitions_for(load.events, len(counted), most)
        keys_df = keep(keys_by_entity(of_counted, fields, unfold, seed, partitions))
        pairs_dfs.append(counted_pairs(keys_df))
        masks_dfs.append(keys_df.drop("keys"))
    to_weigh = [exploded_rows(config, rows, triples_df, weighed)] if weighed else []
    if counted and load.crowded:
        of_crowded = {name: rows_df.where(crowded) for name, rows_df in rows.items()}
        to_weigh.append(exploded_rows(config, of_crowded, triples_df, counted))
        weighed = list(fields)
    if to_weigh:
        weighed_df = keep(weighed_pairs(reduce(DataFrame.unionByName, to_weigh), weighed, seed))
        pairs_dfs.append(weighed_df.drop("field"))
        masks_dfs.append(masks_by_entity(weighed_df, weighed, fields))
    return Associations(
        pairs_df=reduce(DataFrame.unionByName, pairs_dfs),
        masks_df=merged_masks(masks_dfs),
        exploded_df=exploded_df.select("field", "value", *([DAY] if DAY in exploded_df.columns else [])),
        counts=len(counted) == len(fields),
    )


@contextmanager
def settings_for(spark: SparkSession) -> Iterator[None]:
    """Spark's settings for the time of the stage."""
    before = {name: str(spark.conf.get(name)) for name in _SETTINGS}
    for name, value in _SETTINGS.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def merged_masks(masks_dfs: Sequence[DataFrame]) -> DataFrame:
    """One row an entity, where it has any field."""
    masks_df = reduce(DataFrame.unionByName, masks_dfs)
    names = masks_df.columns[1:]
    if len(masks_dfs) > 1:
        masks_df = masks_df.groupBy("entity_id").agg(*(F.bit_or(name).alias(name) for name in names))
    return masks_df.where(reduce(lambda one, other: one | other, (F.col(name) != 0 for name in names)))
