"""The unfold stage: sources -> `concept_vectors`, `vocabulary`, `quarantine`, and a profile of the data."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline import summary
from pipeline.config import Config
from pipeline.cutoffs import write_cutoff
from pipeline.environment import check_writable
from pipeline.errors import UserError
from pipeline.faults import fault_point
from pipeline.layout import Layout
from pipeline.session import get_session
from pipeline.sources.databases import shared_tables
from pipeline.splits import SUPPORT, entities_with_split
from pipeline.tables import Tables
from pipeline.unfold.associations import DAY
from pipeline.unfold.caps import capped_vectors, shapes
from pipeline.unfold.fields import Field, fields_of
from pipeline.unfold.inputs import Inputs, SourceInputs
from pipeline.unfold.profile import concepts_by_field, entities_by_field
from pipeline.unfold.sightings import PROFILE, aggregates, data_profile
from pipeline.unfold.spans import Spans, feature_spans
from pipeline.unfold.stable import VERSIONS, grown, record_version
from pipeline.unfold.unite import Associations, settings_for
from pipeline.unfold.vectors import concept_vectors, merge_ids, with_idf, with_ids
from pipeline.unfold.vocabulary import (
    SharedKeysError,
    check_keys,
    collision_rate,
    count_concepts,
    exact_vocabulary,
    hashed_concepts,
    hashed_vocabulary,
    ids_of,
    named_concepts,
)
from pipeline.vocabulary import HASHED

logger = logging.getLogger(__name__)
_SEEDS = 3
"""So many times a vocabulary is tried: of 100 million concepts two share a key with probability 0.0005."""


def run(config: Config) -> None:
    """Unfold all sources. Raises UserError for anything in them that does not fit the configuration."""
    run_on(config, SourceInputs(config))


def run_on(config: Config, inputs: Inputs) -> None:
    """Unfold what `inputs` gives. Raises UserError as `run` does."""
    check_config(config)
    check_writable(Layout.of(config).workdir)
    stage = _Stage(config, inputs)
    try:
        with settings_for(get_session(config)), shared_tables():
            stage.run()
    finally:
        stage.describe("")
        stage.release()


class _Stage:
    """One run of the stage: what it has cached, counted and timed."""

    def __init__(self, config: Config, inputs: Inputs) -> None:
        self._config = config
        self._inputs = inputs
        self._session = get_session(config)
        self._tables = Tables(config, self._session)
        self._fields: list[Field] = fields_of(config.sources)
        self._facts: dict[str, Any] = {"timings": {}}
        self._layout = Layout.of(config)
        self._spans: Spans | None = None
        self._seed = 0
        self._bounds = (1, 2**62)
        self._cached: list[DataFrame] = []
        self._clock = self._started = time.monotonic()

    def run(self) -> None:
        self.describe("checks, counts of rows")
        self._facts["sources"] = self._inputs.read(self._keep)
        self._facts |= self._inputs.facts
        self._tick("checks")
        associations, named_df = self._associate()
        size = sum(one["kept"] for one in self._facts["concepts"].values())
        self._check_size(size)
        with self._tables.together("vocabulary", "concept_vectors"):
            self.describe("vocabulary")
            numbered_df, size = self._number(associations.pairs_df, named_df, size)
            self._tick("vocabulary")
            if self._config.unfold.transform == "tfidf":
                numbered_df = with_idf(numbered_df, self._support(associations.masks_df))
            fault_point("unfold:before-vectors")
            self.describe("vectors")
            # A hashed vocabulary adds up weights that share an id, perhaps beyond 2^31.
            counts = associations.counts and self._config.unfold.vocabulary.kind == "exact"
            if shapes(self._config):
                vectors_df = self._capped(numbered_df, size)
            else:
                vectors_df = concept_vectors(numbered_df, self._config.unfold.transform, counts)
            self._tables.replace("concept_vectors", vectors_df)
            write_cutoff(self._layout, self._config.unfold)
            fault_point("unfold:after-vectors")
        self._tick("vectors")
        self.describe("counts of entities")
        self._profile(associations.masks_df)
        self._tick("profile")
        self._facts["seconds"] = round(time.monotonic() - self._started, 1)
        summary.write(Layout.of(self._config), "unfold", self._facts)
        logger.info(
            "unfolded %d entities into %d concepts (%.1f an entity) in %.1f s",
            *(self._facts[name] for name in ("entities", "vocabulary_size", "concepts_per_entity", "seconds")),
        )

    def describe(self, work: str) -> None:
        """What Spark's stages are called from here on."""
        self._session.sparkContext.setJobDescription(f"unfold: {work}" if work else "")

    def release(self) -> None:
        while self._cached:
            self._cached.pop().unpersist()

    def _associate(self) -> tuple[Associations, DataFrame]:
        """What entities have, by key; and all concepts by name, of which no two have one key."""
        for seed in range(_SEEDS):
            self._seed = seed
            self.describe("associations")
            associations = self._inputs.associate(seed, self._keep)
            counted_df = self._keep(count_concepts(associations.pairs_df))
            exploded_df, seen = associations.exploded_df, self._sightings(associations.exploded_df)
            named_df = self._keep(named_concepts(counted_df, exploded_df, self._fields, seed, seen))
            keys = counted_df.count()
            self._tick("associations")
            self.describe("names")
            self._bounds = self._bounds_of(associations.masks_df)
            self._facts["concepts"] = concepts_by_field(named_df, self._bounds)
            try:
                check_keys(keys, sum(one["concepts"] for one in self._facts["concepts"].values()))
            except SharedKeysError as error:
                logger.warning("keys of seed %d: %s; another seed is taken", seed, error)
                self.release()
            else:
                self._tick("names")
                self._drift(named_df, associations.rows_of)
                return associations, named_df.select("concept", "field", "entities")
        raise RuntimeError(f"concepts share keys for each of {_SEEDS} seeds")

    def _sightings(self, exploded_df: DataFrame) -> list[Column]:
        """What to count of a concept's rows besides."""
        if DAY not in exploded_df.columns:
            return []
        profiles = self._facts["sources"].values()
        self._spans = feature_spans(self._config.unfold, [profile["rows_by_day"] for profile in profiles])
        return aggregates(self._spans, self._config.unfold.profile.periods)

    def _drift(self, named_df: DataFrame, rows_of: str) -> None:
        """The summary `profile`, in place of that of the run before, which it is compared with if it counted alike."""
        facts = {}
        if self._spans is not None:
            last = summary.read(self._layout, PROFILE)
            last = last if last.get("rows_of") == rows_of else {}
            settings = self._config.unfold.profile
            facts = data_profile(named_df, self._spans, self._bounds, settings, self._fields, last)
            facts["rows_of"] = rows_of
        summary.write(self._layout, PROFILE, facts)
        self._tick("drift")

    def _bounds_of(self, masks_df: DataFrame) -> tuple[int, int]:
        """The entities that a concept of the vocabulary has at least and at most."""
        vocabulary = self._config.unfold.vocabulary
        if vocabulary.kind == "hashed":
            return 1, 2**62
        by_share = vocabulary.min_share > 0 or vocabulary.max_share < 1
        entities = masks_df.count() if by_share else 0
        least = max(vocabulary.min_entities, math.ceil(vocabulary.min_share * entities))
        return least, math.floor(vocabulary.max_share * entities) if vocabulary.max_share < 1 else 2**62

    def _number(self, pairs_df: DataFrame, named_df: DataFrame, size: int) -> tuple[DataFrame, int]:
        """Write the vocabulary; entity_id, concept_id, weight of every association that has an id, and how many
        concepts have one. size: concepts that are frequent enough for one."""
        vocabulary, salt = self._config.unfold.vocabulary, self._config.unfold.salt
        if vocabulary.kind == "exact":
            size = self._write_exact(named_df, size)
            ids_df = ids_of(self._tables.read("vocabulary"), self._fields, self._seed)
            return with_ids(pairs_df, ids_df, size, salt), size
        self._tables.replace(HASHED, hashed_concepts(named_df, vocabulary.bits))
        hashed_df = self._tables.read(HASHED)
        self._facts["collision_rate"] = collision_rate(hashed_df)
        numbered_df = with_ids(pairs_df, ids_of(hashed_df, self._fields, self._seed), size, salt)
        merged_df = self._keep(merge_ids(numbered_df))
        self._tables.replace("vocabulary", hashed_vocabulary(hashed_df, merged_df, vocabulary.bits))
        self._facts["vocabulary_size"] = 2**vocabulary.bits
        return merged_df, size

    def _write_exact(self, named_df: DataFrame, size: int) -> int:
        """Write an exact vocabulary, whole or as the one before has grown; its size."""
        ids = self._config.unfold.vocabulary.ids
        if ids == "stable" and self._tables.exists("vocabulary"):
            found = grown(self._tables.read("vocabulary"), named_df, self._bounds, self._keep)
            size = found.size
            self._tables.replace("vocabulary", found.vocabulary_df)
            used = self._tables.read("vocabulary").where("entities > 0").groupBy("field").count().collect()
            for row in used:
                self._facts["concepts"][row["field"]]["kept"] = row["count"]
            self._facts["new_concepts"] = found.new
            self._facts["vanished_concepts"] = size - sum(row["count"] for row in used)
        else:
            self._tables.replace("vocabulary", exact_vocabulary(named_df, size, self._bounds, self._keep))
        self._check_ids(size)
        if ids == "stable" or self._tables.exists(VERSIONS):
            self._facts["vocabulary_version"] = record_version(self._tables, ids)
        return size

    def _capped(self, numbered_df: DataFrame, size: int) -> DataFrame:
        vocabulary_df = self._tables.read("vocabulary")
        vectors_df, dropped = capped_vectors(self._config, numbered_df, vocabulary_df, self._fields, size, self._keep)
        self._facts["dropped"] = dropped
        return vectors_df

    def _check_size(self, size: int) -> None:
        if not size:
            unfold, (least, most) = self._config.unfold, self._bounds
            share = f" and at most {most} (unfold.vocabulary.max_share)" if unfold.vocabulary.max_share < 1 else ""
            raise UserError(
                f"the vocabulary is empty: no concept has {least} entities (unfold.vocabulary.min_entities"
                f"{', min_share' if unfold.vocabulary.min_share else ''}){share} in "
                f"[{unfold.start or 'the beginning'}, {unfold.cutoff or 'the end'}); lower it, or look at the sources' "
                "paths and rules"
            )

    def _check_ids(self, size: int) -> None:
        row = self._tables.read("vocabulary").agg(F.count("*"), F.max("concept_id"), F.sum("concept_id")).first()
        if row is None or tuple(row) != (size, size - 1, size * (size - 1) // 2):
            raise RuntimeError(f"concept ids are not 0..{size - 1}: a cached partition was lost; run unfold again")
        self._facts["vocabulary_size"] = size

    def _support(self, entities_df: DataFrame) -> DataFrame:
        """The support's entities (entity_id)."""
        split_df = entities_with_split(self._config, entities_df)
        return self._keep(split_df.where(F.col("split") == SUPPORT).select("entity_id"))

    def _profile(self, masks_df: DataFrame) -> None:
        """Counts for the report."""
        by_field, by_source = entities_by_field(masks_df, self._fields)
        nothing = {"pairs": 0, "concepts": 0, "kept": 0}
        concepts = self._facts.pop("concepts")
        common = {name: one.pop("common") for name, one in concepts.items()}
        if self._config.unfold.vocabulary.max_share < 1:
            self._facts.setdefault("dropped", {})["max_share"] = {name: n for name, n in common.items() if n}
        fields = {name: nothing | concepts.get(name, {}) | {"entities": by_field[name]} for name in by_field}
        for name, profile in self._facts["sources"].items():
            profile["entities"] = by_source.get(name, 0)
        vectors_df = self._tables.read("concept_vectors")
        row = vectors_df.agg(F.count("*").alias("entities"), F.avg(F.size("concept_ids")).alias("mean")).first()
        assert row is not None
        found = sum(one["concepts"] for one in fields.values())
        self._facts |= {
            "entities": row["entities"],
            "concepts_per_entity": row["mean"] or 0.0,
            "concepts_found": found,
            "concepts_pruned": found - sum(one["kept"] for one in fields.values()),
            "concepts_by_field": {name: one["kept"] for name, one in fields.items()},
            "fields": fields,
        }

    def _keep(self, rows_df: DataFrame) -> DataFrame:
        """Cached until the stage ends."""
        self._cached.append(rows_df.persist(StorageLevel.MEMORY_AND_DISK))
        return rows_df

    def _tick(self, phase: str) -> None:
        now = time.monotonic()
        self._facts["timings"][phase] = round(now - self._clock, 2)
        logger.info("%s: %.1f s", phase, now - self._clock)
        self._clock = now


def check_config(config: Config) -> None:
    """Raises UserError where nothing is to be unfolded, or no cutoff or no window is given."""
    if not any(source.rules for source in config.sources):
        raise UserError("no source with rules is declared: nothing to unfold; see sources in the README")
    for source in config.sources:
        if source.time is not None and config.unfold.cutoff is None:
            raise UserError(f"source {source.name} has a time, so unfold.cutoff is needed")
    start, cutoff = config.unfold.start, min([*config.unfold.cutoffs, config.unfold.cutoff or ""])
    if start is not None and cutoff and start >= cutoff:
        raise UserError(f"unfold.start {start} is not before unfold.cutoff {cutoff}")
