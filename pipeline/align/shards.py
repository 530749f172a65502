"""Shards written by the executors: the rows in a deterministic order, cut into files that no cluster size changes.

    key  = xxhash64(entity_id, seed)               a global shuffle that every run repeats
    part = place of key in its range × files       file 3 of a split holds the same rows on 2 cores and on 200

A task writes each of its files under a temporary name, renames it and returns its manifest entry: tasks that are
retried or run twice replace a file by the same bytes. Only what the driver then puts in the manifest counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.align.tasks import SPLITS
from pipeline.config.aligning import Shards
from pipeline.faults import fault_point
from pipeline.shards.codec import ENTITY, RAGGED, SCHEMA, pack_lists
from pipeline.shards.manifest import FileEntry
from pipeline.shards.writer import PartWriter, part_name

_ROWS_PER_GROUP = 65_536
"""Of the vocabulary and the masks."""


def write_splits(
    vectors_df: DataFrame, pairs_df: DataFrame, rows: Mapping[str, int], folder: Path, settings: Shards
) -> dict[str, list[FileEntry]]:
    """Write the files of every split into `folder` and give their manifest entries.

    vectors_df: entity_id, concept_ids, concept_weights. pairs_df: entity_id, split, pairs. rows: those of each split.
    """
    files = {split: -(-rows[split] // settings.rows_per_file) for split in SPLITS}
    names = [part_name(split, part) for split in SPLITS for part in range(files[split])]
    first = dict(zip(SPLITS, itertools.accumulate([0, *files.values()]), strict=False))
    key = F.xxhash64("entity_id", F.lit(settings.seed).cast("long"))
    keyed_df = (
        vectors_df.join(pairs_df, "entity_id")
        .withColumn("key", key)
        .withColumn("part", _part(first, files))
        .withColumns({"task_ids": F.col("pairs.task"), "labels": F.col("pairs.label")})
    )
    partition_keys = F.array(*(F.lit(one) for one in even_keys(vectors_df.sparkSession, len(names))))
    sorted_df = (
        keyed_df.repartition(len(names), partition_keys[F.col("part")])
        .sortWithinPartitions("part", "key", "entity_id")
        .select("part", ENTITY, *RAGGED)
    )
    writer = _part_writer(str(folder.absolute()), names, settings.rows_per_group)
    written = sorted_df.mapInArrow(writer, "entry string").collect()
    entries = {entry.path: entry for entry in (FileEntry.model_validate_json(row[0]) for row in written)}
    _remove_leftovers(folder)
    by_split = {
        split: [entries[name] for name in names if name in entries and name.startswith(f"{split}/")] for split in SPLITS
    }
    for split, of_split in by_split.items():
        found = sum(entry.rows for entry in of_split)
        if found != rows[split]:
            raise RuntimeError(f"{folder}: {found:,} rows of split {split} were written, but {rows[split]:,} counted")
    return by_split


def write_table(rows_df: DataFrame, folder: Path, name: str, schema: pa.Schema, order: list[str]) -> None:
    """Write rows as one Parquet file in this order, by one task that streams them."""
    writer = _table_writer(str(folder.absolute()), name, schema)
    one_df = rows_df.select(*schema.names).repartition(1).sortWithinPartitions(*order)
    if not one_df.mapInArrow(writer, "entry string").collect():
        pq.write_table(schema.empty_table(), folder / name, compression="zstd")


def even_keys(spark: SparkSession, partitions: int) -> list[int]:
    """For each partition number a key that hash partitioning sends there, so that no two files share a task.

    Only balance depends on it: files come out right whichever tasks write them.
    """
    candidates_df = spark.range(64 + partitions * 32, numPartitions=1).select(F.col("id").cast("int").alias("key"))
    placed_df = candidates_df.groupBy(F.pmod(F.hash("key"), F.lit(partitions)).alias("partition")).agg(F.min("key"))
    found = {row[0]: row[1] for row in placed_df.collect()}
    return [found.get(partition, partition) for partition in range(partitions)]


def _part(first: Mapping[str, int], files: Mapping[str, int]) -> Column:
    """int: which file a row is in, counted over all splits; ascending with `key` within a split."""
    place = F.col("key").cast("double") / F.lit(2.0**64) + F.lit(0.5)
    split_part = F.lit(None).cast("int")
    for split in SPLITS:
        within = F.least(F.floor(place * files[split]), F.lit(files[split] - 1)).cast("int")
        split_part = F.when(F.col("split") == split, F.lit(first[split]) + within).otherwise(split_part)
    return split_part


def _part_writer(
    folder: str, names: list[str], rows_per_group: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def write(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for part, tables in itertools.groupby(_runs(batches), key=lambda run: run[0]):
            with PartWriter(Path(folder), names[part], rows_per_group) as writer:
                for _, table in tables:
                    writer.append(table)
                fault_point("align:before-part")
                entry = writer.close()
            yield _entry_batch(entry)

    return write


def _table_writer(
    folder: str, name: str, schema: pa.Schema
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def write(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        with PartWriter(Path(folder), name, _ROWS_PER_GROUP, schema) as writer:
            for batch in batches:
                writer.append(pa.Table.from_batches([batch]).cast(schema))
            entry = writer.close()
        yield _entry_batch(entry)

    return write


def _runs(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.Table]]:
    """The batches cut where the part changes, as shard columns."""
    for batch in batches:
        parts = batch.column("part").to_numpy()
        edges = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(parts)]
        for start, stop in itertools.pairwise(edges):
            if start < stop:
                yield int(parts[start]), _shard_table(batch.slice(start, stop - start))


def _shard_table(batch: pa.RecordBatch) -> pa.Table:
    packed = [pack_lists(batch.column(name), dtype) for name, dtype in RAGGED.items()]
    return pa.table([batch.column(ENTITY), *packed], schema=SCHEMA)


def _entry_batch(entry: FileEntry) -> pa.RecordBatch:
    return pa.record_batch([pa.array([entry.model_dump_json()])], names=["entry"])


def _remove_leftovers(folder: Path) -> None:
    """Temporary files of tasks that were lost."""
    for path in folder.glob("*/.*"):
        path.unlink(missing_ok=True)
