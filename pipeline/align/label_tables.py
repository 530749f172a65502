"""Labels by rows (entity, segment, label) of a table that the user brings."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from pipeline.align.hits import Numbered, array_of, class_index, hit, not_finite
from pipeline.align.spaces import condition_of, zero_filled
from pipeline.config.segments import LabelTable, Segment
from pipeline.config.sources import Source, Table
from pipeline.errors import UserError
from pipeline.sources import check_columns, quoted

ENTITY, TASK = "_entity", "_task"


def as_source(table: LabelTable) -> Source:
    """The label table as a source, so that it is read, cast and checked like one."""
    shared = {name: getattr(table, name) for name in Table.model_fields}
    return Source(name=table.name, entity=table.entity, **shared)


def labelled_rows(table_df: DataFrame, table: LabelTable, segments: list[Numbered]) -> DataFrame:
    """The rows (`_entity` and the table's own columns) with `_task`: one row a task that a row is about.

    Raises UserError naming a declared column that the table does not have.
    """
    declared = [column for column in (table.segment, table.label) if column is not None]
    check_columns(table_df, declared, f"label table {table.name}")
    if table.segment is None:
        every = F.array(*(F.lit(task) for task, _ in segments))
        return table_df.select("*", F.explode(every).alias(TASK))
    tasks_of: dict[str, list[int]] = {}
    for task, segment in segments:
        tasks_of.setdefault(segment.label.segment or segment.name, []).append(task)
    entries = [entry for name, tasks in tasks_of.items() for entry in (F.lit(name), F.array(*map(F.lit, tasks)))]
    tasks = F.create_map(*entries)[F.col(quoted(table.segment)).cast("string")]
    return table_df.select("*", F.explode(tasks).alias(TASK))


def split_unknown(rows_df: DataFrame, table: LabelTable, entities_df: DataFrame) -> tuple[DataFrame, DataFrame | None]:
    """Rows of known entities, and those of unknown ones for the quarantine.

    Raises UserError with some examples where the table says `on_unknown_entity: fail` and there are any.
    """
    names_known_df = entities_df.select(F.col("entity_id").alias(ENTITY))
    unknown_df = rows_df.join(names_known_df, ENTITY, "left_anti")
    known_df = rows_df.join(names_known_df, ENTITY, "left_semi")
    if table.on_unknown_entity == "quarantine":
        return known_df, unknown_df
    names_df = unknown_df.select(ENTITY).distinct()
    count = names_df.count()
    if count:
        examples = ", ".join(str(row[0]) for row in names_df.orderBy(ENTITY).limit(3).collect())
        raise UserError(
            f"label table {table.name}: {count:,} entities are in no source ({examples}{', …' if count > 3 else ''}); "
            "mend the table, or set on_unknown_entity: quarantine"
        )
    return known_df, None


def table_hits(rows_df: DataFrame, table: LabelTable, segments: list[Numbered]) -> DataFrame:
    """entity_id, hits, bad (see hits.py) from the rows of `labelled_rows`.

    Raises UserError for a sample space that Spark cannot resolve.
    """
    label = F.lit(1) if table.label is None else F.col(quoted(table.label))
    kind = rows_df.select(label).schema[0].dataType
    values = [
        (tasks, _value(label, kind, segment))
        for tasks, segment in _alike(segments, lambda one: (one.kind, *one.classes))
    ]
    value = _choose([(tasks, value) for tasks, (value, _) in values])
    reason = _choose([(tasks, reason) for tasks, (_, reason) in values])
    member = _choose([(tasks, _member(rows_df, table, one)) for tasks, one in _alike(segments, condition_of)])
    checked_df = rows_df.select(
        F.col(ENTITY).alias("entity_id"), TASK, value.alias("value"), reason.alias("reason"), member.alias("member")
    )
    per_task_df = checked_df.groupBy("entity_id", TASK).agg(
        F.max("value").alias("value"),
        F.min("value").alias("least"),
        F.max("reason").alias("reason"),
        F.max("member").alias("member"),
    )
    # Several rows for one entity: any of them makes a binary label; other kinds have no way to choose.
    binary = F.col(TASK).isin([task for task, segment in segments if segment.kind == "binary"])
    torn = ~binary & (F.col("value") != F.col("least"))
    reason = F.when(torn, F.lit("several rows give different labels")).otherwise(F.col("reason"))
    label = F.when(~torn, F.col("value"))
    hits = _choose(
        [(tasks, hit(F.col(TASK), one, label, F.col("member"))) for tasks, one in _alike(segments, zero_filled)]
    )
    bad = F.struct(F.col(TASK).alias("task"), reason.alias("reason"))
    return per_task_df.select(
        "entity_id",
        array_of([hits]).alias("hits"),
        array_of([F.when(reason.isNotNull(), bad)]).alias("bad"),
    )


def _value(label: Column, kind: DataType, segment: Segment) -> tuple[Column, Column]:
    """The label as a double, null where it is bad, and the reason."""
    text = F.concat(F.lit("label "), F.coalesce(label.cast("string"), F.lit("null")))
    if segment.kind == "binary":
        number = F.coalesce(label.cast("double"), label.cast("boolean").cast("double"))
        good = F.coalesce(number.isin(0.0, 1.0), F.lit(False))
        reason = F.concat(text, F.lit(" is neither 0 nor 1"))
    elif segment.kind == "regression":
        number = label.cast("double")
        good = number.isNotNull() & ~not_finite(number)
        reason = F.concat(text, F.lit(" is not a finite number"))
    else:
        number = class_index(label, kind, segment.classes).cast("double")
        good = F.coalesce(number >= 0, F.lit(False))
        reason = F.concat(text, F.lit(f" is none of the classes {', '.join(segment.classes)}"))
    return F.when(good, number), F.when(~good, reason)


def _member(rows_df: DataFrame, table: LabelTable, segment: Segment) -> Column:
    condition = condition_of(segment)
    if condition is None:
        return F.lit(True)
    try:
        holds = F.expr(condition).cast("boolean")
        rows_df.select(holds)
    except (AnalysisException, ParseException) as error:
        message = str(error).strip().splitlines()[0]
        raise UserError(
            f"segment {segment.name}: sample_space {condition!r} does not fit label table {table.name}: {message}"
        ) from None
    return F.coalesce(holds, F.lit(False))


def _alike(segments: list[Numbered], key: Callable[[Segment], Hashable]) -> list[tuple[list[int], Segment]]:
    """The tasks with the same key, and one of their segments: an expression for each sort of task, not for each
    task, keeps what Spark has to compile small."""
    tasks: dict[Hashable, list[int]] = {}
    examples: dict[Hashable, Segment] = {}
    for task, segment in segments:
        tasks.setdefault(key(segment), []).append(task)
        examples.setdefault(key(segment), segment)
    return [(tasks[one], examples[one]) for one in tasks]


def _choose(by_tasks: list[tuple[list[int], Column]]) -> Column:
    """The column that is meant for the row's own task."""
    return F.coalesce(*(F.when(F.col(TASK).isin(tasks), column) for tasks, column in by_tasks))
