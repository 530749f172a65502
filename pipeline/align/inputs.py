"""What the align stage reads: concept vectors, the vocabulary, the entities' splits and every segment's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.align.expressions import TIME, label_window, source_hits
from pipeline.align.hits import Numbered
from pipeline.align.label_tables import as_source, labelled_rows, split_unknown, table_hits
from pipeline.align.spaces import as_segment, members
from pipeline.align.tasks import Counts
from pipeline.config import Config
from pipeline.config.segments import LabelTable
from pipeline.config.sources import Source
from pipeline.cutoffs import check_cutoff
from pipeline.errors import UserError
from pipeline.examples import before_each_cutoff, entity_of
from pipeline.layout import Layout
from pipeline.session import get_session
from pipeline.sources import DEFECT, bad_rows, read_marked, read_source
from pipeline.splits import SUPPORT, entities_with_split
from pipeline.tables import Tables
from pipeline.vocabulary import HASHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """vectors_df: entity_id, concept_ids, concept_weights. vocabulary_df: the table `vocabulary`. concepts_df:
    concept_id, concept: what globs are matched with, every concept of an id that several share. entities_df: entity_id,
    split. hits_dfs: entity_id, hits, of each source and label table. bad_df: source, reason, row, for the quarantine;
    None where there is no way to have any."""

    vectors_df: DataFrame
    vocabulary_df: DataFrame
    concepts_df: DataFrame
    entities_df: DataFrame
    hits_dfs: Sequence[DataFrame]
    bad_df: DataFrame | None
    cached_dfs: Sequence[DataFrame]
    """To unpersist in the end."""


def read_inputs(config: Config) -> Inputs:
    """Raises UserError for what is missing or does not fit, before anything is written."""
    if not config.segments:
        raise UserError("no segments declared: the align stage needs at least one under segments")
    tables = Tables(config, get_session(config))
    vectors_df = tables.read("concept_vectors", "the unfold")
    check_cutoff(Layout.of(config), config.unfold)
    vocabulary_df = tables.read("vocabulary", "the unfold")
    hashed = config.unfold.vocabulary.kind == "hashed"
    entities_df = entities_with_split(config, vectors_df)
    by_source, by_table = _segments_of(config)
    hits_dfs: list[DataFrame] = []
    bad_dfs: list[DataFrame] = []
    cached_dfs: list[DataFrame] = []
    for source in config.sources:
        if source.name in by_source:
            segments = by_source[source.name]
            hits_df = source_hits(label_rows(config, source), segments, source.time is not None)
            if any(segment.kind != "binary" for _, segment in segments):
                # Kept, so that the bad labels do not cost a second pass over the source.
                hits_df = hits_df.persist(StorageLevel.DISK_ONLY)
                cached_dfs.append(hits_df)
                bad_dfs.append(_bad_labels(hits_df, source.name, config))
            hits_dfs.append(hits_df)
    hits_dfs += _space_hits(config)
    for table in config.label_tables:
        if table.name in by_table:
            hits_df, table_bad_dfs = _table(config, table, by_table[table.name], entities_df)
            hits_dfs.append(hits_df)
            bad_dfs += table_bad_dfs
    return Inputs(
        vectors_df=vectors_df,
        vocabulary_df=vocabulary_df,
        concepts_df=tables.read(HASHED, "the unfold") if hashed else vocabulary_df,
        entities_df=entities_df,
        hits_dfs=hits_dfs,
        bad_df=_union(bad_dfs),
        cached_dfs=cached_dfs,
    )


def label_rows(config: Config, source: Source) -> DataFrame:
    """The rows of a source that labels come from: those of the label window, or all rows of a static source."""
    rows_df = read_source(config, source)
    return _static(config, rows_df) if source.time is None else label_window(rows_df, config.unfold)


def _static(config: Config, rows_df: DataFrame) -> DataFrame:
    """Rows without times: of several cutoffs they are about an entity's example at each."""
    return before_each_cutoff(rows_df, False, config.unfold) if config.unfold.cutoffs else rows_df


def _space_hits(config: Config) -> list[DataFrame]:
    """Who is in the sample spaces that are conditions on a source of their own."""
    by_rows: dict[tuple[str, str], list[Numbered]] = {}
    for space, number in members(config.segments).items():
        by_rows.setdefault((space.source, space.window), []).append((number, as_segment(space)))
    hits_dfs = []
    for (name, window), segments in by_rows.items():
        (source,) = (one for one in config.sources if one.name == name)
        rows_df = label_rows(config, source) if window == "labels" else _feature_rows(config, source)
        hits_dfs.append(source_hits(rows_df, segments, source.time is not None))
    return hits_dfs


def _feature_rows(config: Config, source: Source) -> DataFrame:
    """The rows of a source that features come from: [start, cutoff), or all rows of a static source."""
    rows_df = read_source(config, source)
    if source.time is None:
        return _static(config, rows_df)
    if config.unfold.start is not None:
        rows_df = rows_df.where(F.col(TIME) >= F.lit(config.unfold.start).cast("timestamp"))
    if config.unfold.cutoffs:
        return before_each_cutoff(rows_df, True, config.unfold)
    return rows_df.where(F.col(TIME) < F.lit(config.unfold.cutoff).cast("timestamp"))


def check_windows(config: Config, inputs: Inputs, counts: Sequence[Mapping[str, Counts]]) -> None:
    """Raises UserError where all labels of a source are missing because it has no rows in the label window."""
    by_source, _ = _segments_of(config)
    for source in config.sources:
        segments = by_source.get(source.name, [])
        silent = all(counts[task][SUPPORT].positives == 0 for task, _ in segments)
        if source.time is None or not segments or not silent or not label_rows(config, source).isEmpty():
            continue
        last = read_source(config, source).agg(F.max(TIME)).first()
        raise UserError(
            f"source {source.name}: no rows in [{config.unfold.cutoff}, + {config.unfold.horizon_days:g} days), so no "
            f"labels; its last row is at {last[0] if last else None}: choose an earlier unfold.cutoff"
        )


def _segments_of(config: Config) -> tuple[dict[str, list[Numbered]], dict[str, list[Numbered]]]:
    """The numbered segments of each source and of each label table."""
    by_source: dict[str, list[Numbered]] = {}
    by_table: dict[str, list[Numbered]] = {}
    for task, segment in enumerate(config.segments):
        if segment.label.source is not None:
            by_source.setdefault(segment.label.source, []).append((task, segment))
        elif segment.label.table is not None:
            by_table.setdefault(segment.label.table, []).append((task, segment))
    return by_source, by_table


def _table(
    config: Config, table: LabelTable, segments: list[Numbered], entities_df: DataFrame
) -> tuple[DataFrame, list[DataFrame]]:
    """The hits of a label table, and its rows for the quarantine."""
    source = as_source(table)
    marked_df = read_marked(config, source)
    table_df = marked_df.where(F.col(DEFECT).isNull()).drop(DEFECT)
    known_df = entities_df.select(entity_of(F.col("entity_id"), config.unfold).alias("entity_id"))
    rows_df, unknown_df = split_unknown(labelled_rows(table_df, table, segments), table, known_df)
    hits_df = table_hits(_static(config, rows_df), table, segments)
    bad_dfs = [bad_rows(marked_df, source), _bad_labels(hits_df, table.name, config)]
    if unknown_df is not None:
        unknown_df = unknown_df.withColumn(DEFECT, F.lit("entity is in no source"))
        bad_dfs.append(bad_rows(unknown_df, source))
    return hits_df, bad_dfs


def _bad_labels(hits_df: DataFrame, source: str, config: Config) -> DataFrame:
    names = F.array(*(F.lit(segment.name) for segment in config.segments))
    bad_df = hits_df.select("entity_id", F.explode("bad").alias("bad"))
    row = F.to_json(F.struct("entity_id", names[F.col("bad.task")].alias("segment")))
    return bad_df.select(F.lit(source).alias("source"), F.col("bad.reason").alias("reason"), row.alias("row"))


def _union(parts: list[DataFrame]) -> DataFrame | None:
    union_df = None
    for part_df in parts:
        union_df = part_df if union_df is None else union_df.unionByName(part_df)
    return union_df
