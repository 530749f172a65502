"""Rules of kind sql: any Spark SQL over the sources, which sees nothing at or after the cutoff.

The query is run by Spark as it stands, never put together from parts. Its tables are views of the sources' good rows in
[start, cutoff) (all rows of static sources) and of the knowledge base; other tables and files are refused, as rows of
theirs could be later than the cutoff, and so is a query whose rows differ from run to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.config import Config
from pipeline.config.rules import Rule
from pipeline.config.sources import Source
from pipeline.errors import UserError
from pipeline.examples import as_examples
from pipeline.sources.columns import as_text, is_simple
from pipeline.sources.files import first_line
from pipeline.unfold.fields import Field, in_window

KNOWLEDGE_BASE = "knowledge_base"
_RELATION = re.compile(r"UnresolvedRelation \[([^\]]*)\]")
_CLOCK = re.compile(r"\b(current_date|current_timestamp|current_time|localtimestamp|now)\(")
_COMMAND = "org.apache.spark.sql.catalyst.plans.logical.Command"


def has_sql(config: Config) -> bool:
    return any(rule.kind == "sql" for source in config.sources for rule in source.rules)


def sql_rows(
    config: Config, spark: SparkSession, rows: Mapping[str, DataFrame], triples_df: DataFrame | None
) -> dict[str, DataFrame]:
    """`source.rule` -> the rows of its query: _entity, value string, weight double, _time (null without).

    rows: the good rows of every source, by name. Of several cutoffs the query is run for each, and finds what its
    examples have. Raises UserError for a query that Spark cannot resolve, that reads other tables, or that does not
    return what it should.
    """
    if not config.unfold.cutoffs:
        return _rows_at(config, spark, rows, triples_df)
    found: dict[str, list[DataFrame]] = {}
    for cutoff in config.unfold.cutoffs:
        one = config.unfold.model_copy(update={"cutoffs": [], "cutoff": cutoff})
        for name, rows_df in _rows_at(config.model_copy(update={"unfold": one}), spark, rows, triples_df).items():
            found.setdefault(name, []).append(as_examples(rows_df, cutoff))
    return {name: reduce(DataFrame.unionByName, parts) for name, parts in found.items()}


def _rows_at(
    config: Config, spark: SparkSession, rows: Mapping[str, DataFrame], triples_df: DataFrame | None
) -> dict[str, DataFrame]:
    """`sql_rows` of one cutoff."""
    tables = {source.name: in_window(rows[source.name], source, config.unfold) for source in config.sources}
    if triples_df is not None:
        tables[KNOWLEDGE_BASE] = triples_df.select("head", "relation", "tail")
    found = {}
    with _views(tables):
        for source in config.sources:
            for rule in source.rules:
                if rule.kind == "sql":
                    where = f"source {source.name}, rule {rule.name}"
                    rows_df = _checked(_query(spark, rule, tables, where), rule, where)
                    cutoff = F.lit(config.unfold.cutoff).cast("timestamp")
                    found[name_of(source, rule)] = rows_df.where(F.coalesce(F.col("_time") < cutoff, F.lit(True)))
    return found


def name_of(source: Source, rule: Rule) -> str:
    """What the rows of a rule's query are found by; no source's name has a dot."""
    return f"{source.name}.{rule.name}"


def as_field(field: Field) -> Field:
    """The field of an sql rule as one that reads the columns of `sql_rows`."""
    rule = field.rule
    weight = None if rule.aggregate in ("count", "binary", "distinct") else "weight"
    plain = Rule.model_construct(**{**dict(rule), "kind": "field", "column": "value", "weight": weight, "query": None})
    source = Source.model_construct(**{**dict(field.source), "time": None})  # the views have seen to the window
    return replace(field, rule=plain, source=source)


@contextmanager
def _views(tables: Mapping[str, DataFrame]) -> Iterator[None]:
    for name, rows_df in tables.items():
        rows_df.createOrReplaceTempView(name)
    try:
        yield
    finally:
        for name, rows_df in tables.items():
            rows_df.sparkSession.catalog.dropTempView(name)


def _query(spark: SparkSession, rule: Rule, tables: Mapping[str, DataFrame], where: str) -> DataFrame:
    assert spark._jvm is not None
    try:
        plan = spark._jsparkSession.sessionState().sqlParser().parsePlan(rule.query)
        if spark._jvm.java.lang.Class.forName(_COMMAND).isInstance(plan) or "Insert" in plan.nodeName():
            raise UserError(f"{where}: the query is {plan.nodeName()}: only a SELECT is taken")
        if "UnresolvedIdentifier" in plan.toString():
            raise UserError(f"{where}: the query names a table by IDENTIFIER, which may hold the future")
        for name in _RELATION.findall(plan.toString()):
            known = ", ".join(sorted(tables))
            parts = [part.strip() for part in name.split(",")]
            ours = parts[0].lower() in (table.lower() for table in tables)
            if len(parts) > 1 or (not ours and spark.catalog.tableExists(parts[0])):
                raise UserError(f"{where}: the query reads {'.'.join(parts)}, which may hold the future; use {known}")
        result_df = spark.sql(rule.query or "")
        analyzed = result_df._jdf.queryExecution().analyzed()
        clock = _CLOCK.search(analyzed.toString())
        if clock is not None:
            raise UserError(f"{where}: the query asks for {clock.group(1)}: what it says would change from day to day")
        if not analyzed.deterministic():
            raise UserError(f"{where}: the query is not deterministic (rand, uuid, …): no two runs would agree")
    except (PySparkException, Py4JJavaError) as error:
        raise UserError(f"{where}: Spark cannot run the query: {first_line(error)}") from None
    return result_df


def _checked(result_df: DataFrame, rule: Rule, where: str) -> DataFrame:
    kinds = {name.lower(): kind for name, kind in ((f.name, f.dataType) for f in result_df.schema.fields)}
    there = ", ".join(result_df.columns)
    for name in ("entity", "value"):
        if name not in kinds:
            raise UserError(f"{where}: the query returns no column {name}; it returns: {there}")
        if not is_simple(kinds[name]):
            raise UserError(f"{where}: column {name} of the query is {kinds[name].simpleString()}, not one value")
    others = sorted(set(kinds) - {"entity", "value", "weight", "time"})
    if others or len(kinds) < len(result_df.columns):
        raise UserError(f"{where}: the query returns {there}; wanted are entity, value, perhaps weight and time")
    if "weight" in kinds and not isinstance(kinds["weight"], T.NumericType):
        raise UserError(f"{where}: column weight of the query is {kinds['weight'].simpleString()}, not a number")
    if "weight" in kinds and rule.aggregate in ("count", "binary", "distinct"):
        raise UserError(f"{where}: aggregate {rule.aggregate} ignores the query's column weight; use sum or max")
    if "time" in kinds and not isinstance(kinds["time"], T.TimestampType | T.DateType):
        raise UserError(f"{where}: column time of the query is {kinds['time'].simpleString()}, not a timestamp")
    if "time" not in kinds and (rule.aggregate in ("decay", "last") or rule.windows):
        raise UserError(f"{where}: windows, decay and last need a column time in what the query returns")
    entity = as_text(F.col("entity"), kinds["entity"])
    rows_df = result_df.select(
        entity.alias("_entity"),
        as_text(F.col("value"), kinds["value"]).alias("value"),
        (F.col("weight") if "weight" in kinds else F.lit(1.0)).cast("double").alias("weight"),
        (F.col("time") if "time" in kinds else F.lit(None)).cast("timestamp").alias("_time"),
    )
    return rows_df.where(F.col("_entity").isNotNull())
