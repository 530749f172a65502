"""A generation of shards: the vocabulary, the masks, the files of every split, and the manifest last."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.align.inputs import Inputs
from pipeline.align.shards import write_splits, write_table
from pipeline.align.tasks import SPLITS, LearnableTasks, task_entries
from pipeline.config import Config
from pipeline.faults import fault_point
from pipeline.generations import new_generation
from pipeline.layout import Layout
from pipeline.shards import manifest as m
from pipeline.shards.writer import MASKS_SCHEMA, VOCABULARY_SCHEMA
from pipeline.vocabulary import VocabularyFacts

logger = logging.getLogger(__name__)


def write_generation(
    config: Config, inputs: Inputs, tasks: LearnableTasks, vocabulary: VocabularyFacts, masks_df: DataFrame
) -> m.Manifest:
    """Write it and make it the current one."""
    with new_generation(Layout.of(config).shards, vocabulary.fingerprint[:12]) as folder:
        _write_vocabulary(inputs.vocabulary_df, vocabulary.fields, folder)
        fault_point("align:after-vocabulary")
        write_table(masks_df, folder, m.MASKS, MASKS_SCHEMA, ["task_id", "concept_id"])
        files = write_splits(inputs.vectors_df, tasks.pairs_df, tasks.rows, folder, config.align.shards)
        entries = task_entries(config, tasks.segments, tasks.counts)
        manifest = m.Manifest(
            schema_version=m.SCHEMA_VERSION,
            vocabulary_hash=vocabulary.fingerprint,
            vocabulary_size=vocabulary.size,
            fields=vocabulary.fields,
            tasks=entries,
            splits={
                split: m.SplitEntry(
                    rows=tasks.rows[split], pairs=sum(entry.pairs[split] for entry in entries), files=files[split]
                )
                for split in SPLITS
            },
            checksums={name: m.file_sha256(folder / name) for name in (m.VOCABULARY, m.MASKS)},
        )
        fault_point("align:before-manifest")
        m.write_manifest(folder, manifest)
        fault_point("align:after-manifest")
    logger.info("shards: %s rows in %s", dict(tasks.rows), Layout.of(config).shards)
    return manifest


def _write_vocabulary(vocabulary_df: DataFrame, fields: Sequence[str], folder: Path) -> None:
    field_id = F.array_position(F.array(*(F.lit(name) for name in fields)), F.col("field")).cast("int") - 1
    rows_df = vocabulary_df.withColumn("field_id", field_id)
    write_table(rows_df, folder, m.VOCABULARY, VOCABULARY_SCHEMA, ["concept_id"])
