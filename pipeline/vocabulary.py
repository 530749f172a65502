"""The fingerprint of a vocabulary: shards, models and tables that do not share it are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

HASHED = "hashed_concepts"
"""Table of a hashed vocabulary: concept_id, concept, field, entities of every concept, those that share an id too."""
_WORD = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyFacts:
    """size: ids 0..size-1; used: those that an entity has (fewer in a hashed vocabulary); fields: their names."""

    fingerprint: str
    size: int
    used: int
    fields: list[str]


def vocabulary_hash(vocabulary_df: DataFrame) -> str:
    """32 hex digits from the (concept_id, concept) rows of the table `vocabulary`, in whatever order they come.

    Two 64-bit halves of the MD5 of each row are summed mod 2^64: distributed, and nothing is sorted or collected.
    """
    return vocabulary_facts(vocabulary_df).fingerprint


def first(vocabulary_df: DataFrame, size: int) -> DataFrame:
    """The first concepts of a vocabulary: with stable ids (unfold.vocabulary.ids) what it was when it had so many."""
    return vocabulary_df.where(F.col("concept_id") < size)


def vocabulary_facts(vocabulary_df: DataFrame) -> VocabularyFacts:
    """The fingerprint (see `vocabulary_hash`), size and fields of the table `vocabulary`, in one pass."""
    digest = F.md5(F.concat_ws("\t", F.col("concept_id").cast("string"), F.col("concept")))

    def half(start: int) -> Column:
        number = F.conv(F.substring(digest, start, 16), 16, 10).cast("decimal(20,0)")
        return F.coalesce(F.sum(number), F.lit(0)).cast("decimal(38,0)")

    row = vocabulary_df.agg(
        half(1).alias("high"),
        half(17).alias("low"),
        F.count("*").alias("size"),
        F.count_if(F.col("entities") > 0).alias("used"),
        F.collect_set("field").alias("fields"),
    ).first()
    assert row is not None
    return VocabularyFacts(
        fingerprint=_hexadecimal(int(row["high"]), int(row["low"])),
        size=row["size"],
        used=row["used"],
        fields=sorted(row["fields"]),
    )


def hash_of_concepts(concepts: Iterable[tuple[int, str]]) -> str:
    """The same from (concept_id, concept) pairs, without Spark."""
    high = low = 0
    for concept_id, concept in concepts:
        digest = hashlib.md5(f"{concept_id}\t{concept}".encode(), usedforsecurity=False).hexdigest()
        high += int(digest[:16], 16)
        low += int(digest[16:], 16)
    return _hexadecimal(high, low)


def _hexadecimal(high: int, low: int) -> str:
    return f"{high % _WORD:016x}{low % _WORD:016x}"
