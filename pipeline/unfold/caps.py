"""Weights put in proportion and in bounds: each field's norm, and the heaviest concepts of a rule and of an entity.

In this order: the transform, `max_concepts` of rules, `normalise: field`, `max_concepts` of the entity. A field is that
of the vocabulary; hashed ids count as the field of the concept they are named for. Sums run over sorted entries, so
that no order of rows changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.unfold.fields import Field
from pipeline.unfold.vectors import salted_join, transformed

_NO_CAP = 2**31 - 1


def shapes(config: Config) -> bool:
    """Whether anything here is asked for."""
    return _by_field(config) or config.unfold.max_concepts is not None


def capped_vectors(
    config: Config,
    numbered_df: DataFrame,
    vocabulary_df: DataFrame,
    fields: Sequence[Field],
    size: int,
    keep: Callable[[DataFrame], DataFrame],
) -> tuple[DataFrame, dict[str, Any]]:
    """The table `concept_vectors`, and what was dropped: pairs of an entity and a concept, by cap (and field).

    numbered_df: entity_id, concept_id, weight (and idf where the transform needs it); size: concepts in the vocabulary;
    `keep` caches a DataFrame.
    """
    unfold = config.unfold
    dropped: dict[str, Any] = {}
    weight = transformed(unfold.transform, F.col("weight")).cast("double")
    entries_df = numbered_df.select("entity_id", "concept_id", weight.alias("weight"))
    if _by_field(config):
        # A hashed vocabulary may have far more ids than concepts; those of no field are nobody's.
        ids_df = vocabulary_df.select("concept_id", _number(fields).alias("field")).where("field >= 0")
        named_df = salted_join(entries_df, ids_df, "concept_id", size, unfold.salt)
        by_field_df = keep(_fields_bounded(named_df, fields, unfold.normalise == "field"))
        if any(field.rule.max_concepts for field in fields):
            found = by_field_df.groupBy("field").agg(F.sum("dropped").alias("dropped")).where("dropped > 0").collect()
            dropped["max_concepts_of_rules"] = {fields[row["field"]].name: row["dropped"] for row in found}
        entries_df = by_field_df.select("entity_id", F.inline("entries"))
    most = _NO_CAP if unfold.max_concepts is None else unfold.max_concepts
    grouped_df = entries_df.groupBy("entity_id").agg(_heaviest_first().alias("entries"))
    bounded_df = grouped_df.select(
        "entity_id",
        F.sort_array(_bare(F.slice("entries", 1, most))).alias("entries"),
        F.greatest(F.size("entries") - most, F.lit(0)).alias("dropped"),
    )
    if unfold.max_concepts is not None:
        bounded_df = keep(bounded_df)
        row = bounded_df.agg(F.sum("dropped"), F.count_if(F.col("dropped") > 0)).first()
        assert row is not None
        dropped["max_concepts"] = {"pairs": row[0] or 0, "entities": row[1]}
    vectors_df = bounded_df.sortWithinPartitions("entity_id").select(
        "entity_id",
        F.col("entries.concept_id").alias("concept_ids"),
        F.col("entries.weight").cast("array<float>").alias("concept_weights"),
    )
    return vectors_df, dropped


def _by_field(config: Config) -> bool:
    capped = any(rule.max_concepts is not None for source in config.sources for rule in source.rules)
    return capped or config.unfold.normalise == "field"


def _fields_bounded(named_df: DataFrame, fields: Sequence[Field], normalise: bool) -> DataFrame:
    """entity_id, field, entries array<concept_id, weight> and how many were dropped. named_df: entity_id, concept_id,
    weight, field."""
    caps = F.array(*(F.lit(field.rule.max_concepts or _NO_CAP) for field in fields))
    grouped_df = named_df.groupBy("entity_id", "field").agg(_heaviest_first().alias("entries"))
    most = F.get(caps, F.col("field"))
    kept_df = grouped_df.select(
        "entity_id",
        "field",
        F.slice("entries", F.lit(1), most).alias("entries"),
        F.greatest(F.size("entries") - most, F.lit(0)).alias("dropped"),
    )
    if not normalise:
        return kept_df.withColumn("entries", _bare(F.col("entries")))
    squares = F.aggregate("entries", F.lit(0.0), lambda total, one: total + one["weight"] * one["weight"])
    normed_df = kept_df.withColumn("norm", F.sqrt(squares))
    scaled = F.transform("entries", lambda one: _entry(one["concept_id"], one["weight"] / F.col("norm")))
    visible = F.filter(scaled, lambda one: one["weight"].cast("float") != 0)
    return normed_df.select("entity_id", "field", visible.alias("entries"), "dropped")


def _heaviest_first() -> Column:
    """A group's entries, by descending size of the weight, then by id."""
    entry = F.struct((-F.abs("weight")).alias("rank"), "concept_id", "weight")
    return F.sort_array(F.collect_list(entry))


def _bare(entries: Column) -> Column:
    return F.transform(entries, lambda one: _entry(one["concept_id"], one["weight"]))


def _entry(concept_id: Column, weight: Column) -> Column:
    return F.struct(concept_id.alias("concept_id"), weight.alias("weight"))


def _number(fields: Sequence[Field]) -> Column:
    """The number of the field that a concept of the vocabulary is of; -1 for an id of no field."""
    place = F.array_position(F.array(*(F.lit(field.name) for field in fields)), F.col("field"))
    return place.cast("int") - 1
