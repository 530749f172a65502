"""Which split an entity is in: a pure function of its id and a seed, the same for every task and every day."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.aligning import Split
from pipeline.examples import entity_of
from pipeline.sources import check_columns, read_source

SUPPORT, VALIDATION, QUERY = "support", "validation", "query"
_BUCKETS = 2**52
"""A double holds every integer up to 2^53, so bucket / _BUCKETS is exact."""


def entities_with_split(config: Config, entities_df: DataFrame) -> DataFrame:
    """entity_id, split of the entities, as `align.split` says.

    Raises UserError where the source that it names lacks the column.
    """
    split = config.align.split
    ids_df = entities_df.select("entity_id", entity_of(F.col("entity_id"), config.unfold).alias("_of"))
    if split.key is not None:
        named_df = _named_rows(config, split.key.source, split.key.column, "align.split.key")
        value = F.col(split.key.column).cast("string")
        keys_df = named_df.groupBy(F.col("_entity").alias("_of")).agg(F.min(value).alias("_key"))
        keyed_df = ids_df.join(keys_df, "_of", "left")
        return keyed_df.select("entity_id", split_of(F.coalesce("_key", "_of"), split).alias("split"))
    query_df = None
    if split.by is not None:
        query_df = query_entities(_named_rows(config, split.by.source, split.by.column, "align.split.by"), split)
    return with_split(ids_df, split, query_df, F.col("_of")).drop("_of")


def _named_rows(config: Config, name: str, column: str, what: str) -> DataFrame:
    (source,) = (one for one in config.sources if one.name == name)
    rows_df = read_source(config, source)
    check_columns(rows_df, [column], f"{what}: source {name}")
    return rows_df


def with_split(
    rows_df: DataFrame, split: Split, query_df: DataFrame | None = None, entity: Column | None = None
) -> DataFrame:
    """Add `split` (support, validation or query) to rows with an `entity_id`, by `entity` where that is an example's
    (see examples.py).

    `query_df` (entity_id, distinct; see `query_entities`) is the query split that the data brings along
    (`split.by`); the hash then only parts validation from support.
    """
    entity = F.col("entity_id") if entity is None else entity
    if split.by is None:
        return rows_df.withColumn("split", split_of(entity, split))
    if query_df is None:
        raise ValueError("split.by is set: with_split needs query_df, from query_entities")
    marked_df = query_df.select(F.col("entity_id").alias("_known"), F.lit(True).alias("_query"))
    rest = F.when(uniform(entity, split.seed) < split.validation, VALIDATION).otherwise(SUPPORT)
    joined_df = rows_df.join(marked_df, entity == F.col("_known"), "left")
    return joined_df.withColumn("split", F.when(F.col("_query"), QUERY).otherwise(rest)).drop("_query", "_known")


def split_of(entity: Column, split: Split) -> Column:
    """The split by hash alone: [0, query) query, the first `validation` of the rest validation, then support."""
    place = uniform(entity, split.seed)
    return (
        F.when(place < split.query, QUERY)
        .when(place < split.query + (1 - split.query) * split.validation, VALIDATION)
        .otherwise(SUPPORT)
    )


def uniform(entity: Column, seed: int) -> Column:
    """A number in [0, 1) that depends on the entity id and the seed only."""
    return F.pmod(F.xxhash64(entity, F.lit(seed).cast("long")), F.lit(_BUCKETS)) / F.lit(float(_BUCKETS))


def query_entities(source_df: DataFrame, split: Split) -> DataFrame | None:
    """The entities (entity_id, distinct) that `split.by` makes the query split; None without `split.by`.

    `source_df` holds the good rows of `split.by.source` as `pipeline.sources.read_source` gives them.
    """
    if split.by is None:
        return None
    wanted = F.col(split.by.column).cast("string").isin(split.by.query)
    return source_df.where(wanted).select(F.col("_entity").alias("entity_id")).distinct()
