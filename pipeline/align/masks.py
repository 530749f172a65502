"""CMask(i) (paper Eq 4-5): which concepts each task may not see, each with its reason."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from pipeline.config.segments import Segment

logger = logging.getLogger(__name__)

COLUMNS = ("task_id", "segment", "concept_id", "concept", "reason", "carriers", "purity", "p_value")
_OWN, _FAMILY, _IMPLIES, _PART = 0, 1, 2, 3


def glob_concepts(concepts_df: DataFrame, segments: Sequence[Segment]) -> DataFrame:
    """task_id, concept_id, concept, rank, reason, glob: what the globs `own` and `mask` of the segments match.

    concepts_df: concept_id, concept; in a hashed vocabulary several concepts have one id.
    """
    wanted = [
        (task, glob, rank, "own" if rank == _OWN else f"family:{glob}")
        for task, segment in enumerate(segments)
        for rank, globs in ((_OWN, segment.own), (_FAMILY, segment.mask))
        for glob in globs
    ]
    session = concepts_df.sparkSession
    wanted_df = session.createDataFrame(wanted, "task_id int, glob string, rank int, reason string")
    globs = sorted({glob for _, glob, _, _ in wanted})
    matches = F.array(*(F.when(F.col("concept").like(like_pattern(glob)), F.lit(glob)) for glob in globs))
    found = F.filter(matches.cast("array<string>"), lambda glob: glob.isNotNull())
    matched_df = concepts_df.select("concept_id", "concept", F.explode(found).alias("glob"))
    columns = ("task_id", "concept_id", "concept", "rank", "reason", "glob")
    return matched_df.join(F.broadcast(wanted_df), "glob").select(*columns)


def like_pattern(glob: str) -> str:
    """A glob of `*` and `?` as a pattern of SQL's LIKE."""
    escaped = re.sub(r"([\\%_])", r"\\\1", glob)
    return escaped.replace("*", "%").replace("?", "_")


def masks_table(
    vocabulary_df: DataFrame,
    globs_df: DataFrame,
    implying_df: DataFrame | None,
    segments: Sequence[Segment],
    parts: Sequence[tuple[int, int]] = (),
) -> DataFrame:
    """The table `masks`, one row a (task, concept id): own before family before implied.

    An id that several concepts share is named for the one that a glob matched, else as in the vocabulary.

    parts: (composite task, a task it is made of); what implies a part is masked as `implies:PART`.
    """
    session = vocabulary_df.sparkSession
    nothing = {"carriers": "long", "purity": "double", "p_value": "double"}
    found_df = globs_df.drop("glob").withColumns({name: F.lit(None).cast(kind) for name, kind in nothing.items()})
    if implying_df is not None:
        implying_df = implying_df.withColumn("concept", F.lit(None).cast("string"))
        implied_df = implying_df.withColumns({"rank": F.lit(_IMPLIES), "reason": F.lit("implies")})
        found_df = found_df.unionByName(implied_df)
        if parts:
            named = [(task, part, f"implies:{segments[part].name}") for task, part in parts]
            parts_df = session.createDataFrame(named, "composite int, task_id int, reason string")
            inherited_df = implying_df.join(F.broadcast(parts_df), "task_id").drop("task_id")
            inherited_df = inherited_df.withColumnRenamed("composite", "task_id").withColumn("rank", F.lit(_PART))
            found_df = found_df.unionByName(inherited_df)
    best = Window.partitionBy("task_id", "concept_id").orderBy("rank", "reason", "concept")
    best_df = found_df.withColumn("place", F.row_number().over(best)).where(F.col("place") == 1)
    names_df = session.createDataFrame([(i, one.name) for i, one in enumerate(segments)], "task_id int, segment string")
    return (
        best_df.join(F.broadcast(names_df), "task_id")
        .join(vocabulary_df.select("concept_id", F.col("concept").alias("name")), "concept_id")
        .withColumn("concept", F.coalesce("concept", "name"))
        .select(*COLUMNS)
    )


def warn_of_idle_globs(globs_df: DataFrame, segments: Sequence[Segment]) -> list[str]:
    """The globs that match no concept, logged and returned: a misspelt mask would let a label leak."""
    matched = {row["glob"] for row in globs_df.select("glob").distinct().collect()}
    idle = sorted({glob for segment in segments for glob in (*segment.own, *segment.mask)} - matched)
    if idle:
        shown = ", ".join(idle[:10])
        logger.warning("%d mask globs match no concept: %s%s", len(idle), shown, ", …" if len(idle) > 10 else "")
    return idle
