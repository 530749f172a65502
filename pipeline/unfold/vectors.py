"""Associations + ids -> one sparse concept vector an entity."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.exact import EXACT
from pipeline.unfold.vocabulary import BROADCAST_ROWS

_HALF = 32  # bits


def with_ids(associations_df: DataFrame, ids_df: DataFrame, concepts: int, salt: int) -> DataFrame:
    """entity_id, concept_id, weight; associations without an id are dropped.

    associations_df: entity_id, key, weight; ids_df: key, concept_id. Where it is too large to send everywhere, the
    join is salted: every concept is held by `salt` reducers, and an entity's hash says which of them it meets, so
    that a concept which everyone has does not land on one.
    """
    return salted_join(associations_df, ids_df, "key", concepts, salt).drop("key")


def salted_join(many_df: DataFrame, few_df: DataFrame, name: str, rows: int, salt: int) -> DataFrame:
    """The join of `with_ids`, by a column of any name; few_df has `rows` rows."""
    if rows <= BROADCAST_ROWS:
        return many_df.join(F.broadcast(few_df), name)
    salted_df = many_df.withColumn("salt", F.pmod(F.xxhash64("entity_id"), F.lit(salt)).cast("int"))
    copies_df = few_df.withColumn("salt", F.explode(F.sequence(F.lit(0), F.lit(salt - 1))))
    return salted_df.join(copies_df, [name, "salt"]).drop("salt")


def merge_ids(numbered_df: DataFrame) -> DataFrame:
    """Hashed vocabulary: the concepts of an entity that share an id add up (in decimals: in whatever order)."""
    total = F.sum(F.col("weight").cast(EXACT)).cast("double")
    merged_df = numbered_df.groupBy("entity_id", "concept_id").agg(total.alias("weight"))
    return merged_df.where(F.col("weight").cast("float") != 0)


def concept_vectors(numbered_df: DataFrame, transform: str, counts: bool) -> DataFrame:
    """The table `concept_vectors`: entity_id, concept_ids (ascending), concept_weights, from `with_ids`.

    counts: whether all weights are whole numbers of [0, 2^31). An entry then travels as one long, the id in its upper
    half, which sorts in less than half the time.
    """
    if counts and transform != "tfidf":
        packed = F.shiftleft(F.col("concept_id").cast("long"), _HALF).bitwiseOR(F.col("weight").cast("long"))
        entries = F.sort_array(F.collect_list(packed))
        ids = F.transform("entries", lambda entry: F.shiftright(entry, _HALF).cast("int"))
        weights = F.transform("entries", lambda entry: _of_count(transform, entry.bitwiseAND(F.lit(2**_HALF - 1))))
    else:
        entry = F.struct("concept_id", transformed(transform, F.col("weight")).alias("weight"))
        entries = F.sort_array(F.collect_list(entry))
        ids, weights = F.col("entries.concept_id"), F.col("entries.weight")
    grouped_df = numbered_df.groupBy("entity_id").agg(entries.alias("entries")).sortWithinPartitions("entity_id")
    return grouped_df.select("entity_id", ids.alias("concept_ids"), weights.alias("concept_weights"))


def with_idf(numbered_df: DataFrame, support_df: DataFrame) -> DataFrame:
    """Adds idf = ln((1 + n) / (1 + n_c)) + 1: n support entities, n_c of them with the concept.

    Only support entities (support_df: entity_id) count, so that nothing of the query split is in the features.
    """
    support = support_df.count()
    counted_df = numbered_df.join(support_df, "entity_id", "left_semi").groupBy("concept_id").count()
    carriers = F.coalesce(F.col("count"), F.lit(0))
    joined_df = numbered_df.join(counted_df, "concept_id", "left")
    return joined_df.withColumn("idf", F.log(F.lit(1.0 + support) / (1.0 + carriers)) + 1.0).drop("count")


def _of_count(transform: str, count: Column) -> Column:
    """The same as `transformed`, in as few steps as can be: nothing is compiled for the elements of arrays."""
    return (F.log1p(count) if transform == "log1p" else count).cast("float")


def transformed(transform: str, weight: Column) -> Column:
    """As float. The sign is kept: sums of negative numbers (refunds) stay apart from positive ones."""
    if transform == "none":
        return weight.cast("float")
    damped = F.signum(weight) * F.log1p(F.abs(weight))
    return (damped * F.col("idf") if transform == "tfidf" else damped).cast("float")
