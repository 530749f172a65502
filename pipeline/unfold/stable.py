"""A vocabulary that keeps its ids from run to run (`unfold.vocabulary.ids: stable`), and its versions.

Concepts that have an id keep it, however many entities they have now: none, where they are gone. New ones come after
them. So what was a vocabulary before is the beginning of what it is now, and a model trained on it can go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.errors import UserError
from pipeline.tables import Tables
from pipeline.unfold.vocabulary import exact_vocabulary
from pipeline.vocabulary import vocabulary_facts

VERSIONS = "vocabulary_versions"
"""version int (from 1), size long, fingerprint string, ids string (stable: grown from the version before; dense: made
anew)."""
_SCHEMA = "version int, size long, fingerprint string, ids string"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """The new vocabulary of `size` concepts, of which the last `new` had no id."""

    vocabulary_df: DataFrame
    size: int
    new: int


def grown(
    old_df: DataFrame, named_df: DataFrame, bounds: tuple[int, int], keep: Callable[[DataFrame], DataFrame]
) -> Grown:
    """old_df: the vocabulary that stands; named_df: concept, field, entities of all concepts there are now.

    New concepts within `bounds` are numbered as in vocabulary.exact_vocabulary. Raises UserError for a hashed one.
    """
    if not old_df.where("field = '#'").isEmpty():  # an id that no concept has: there are none in an exact one
        raise UserError(
            "unfold.vocabulary.ids: stable goes on from the vocabulary that stands, but that is a hashed one; unfold "
            "once with unfold.vocabulary.ids=dense"
        )
    known_df = keep(old_df.select("concept_id", "concept", "field"))
    within_df = named_df.where(F.col("entities").between(*bounds))
    fresh_df = keep(within_df.join(known_df.select("concept"), "concept", "left_anti"))
    before, new = known_df.count(), fresh_df.count()
    numbered_df = exact_vocabulary(fresh_df, new, bounds, keep)
    appended_df = numbered_df.withColumn("concept_id", (F.col("concept_id") + before).cast("int"))
    counted_df = known_df.join(named_df.select("concept", "entities"), "concept", "left").select(
        "concept_id", "concept", "field", F.coalesce("entities", F.lit(0)).cast("long").alias("entities")
    )
    return Grown(vocabulary_df=counted_df.unionByName(appended_df), size=before + new, new=new)


def record_version(tables: Tables, ids: str) -> int:
    """The version of the vocabulary that stands now: a new row of `VERSIONS` where it is not the one before."""
    vocabulary_df = tables.read("vocabulary")
    facts = vocabulary_facts(vocabulary_df)
    rows = []
    if tables.exists(VERSIONS):
        rows = sorted(tuple(row) for row in tables.read(VERSIONS).collect())
        if rows[-1][2] == facts.fingerprint:
            return int(rows[-1][0])
    rows.append((len(rows) + 1, facts.size, facts.fingerprint, ids))
    tables.replace(VERSIONS, vocabulary_df.sparkSession.createDataFrame(rows, _SCHEMA).coalesce(1))
    return len(rows)
