"""What benchmarks/unfold.py compares: the events, and three ways from their rows to one sparse vector an entity."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import yaml
from pyspark.ml.feature import CountVectorizer
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from pipeline.config import Config, load_config
from pipeline.generations import current_generation
from pipeline.tables import Tables
from pipeline.unfold import run

CUTOFF = "2026-01-28"
MIN_ENTITIES = 5
SKEWS = {
    "": "balanced",
    "entity": "one entity has half of all events",
    "concept": "one concept has half of all events",
}
RULES = [
    {"name": "item", "kind": "field", "column": "item"},
    {"name": "category", "kind": "field", "column": "category"},
    {"name": "tags", "kind": "multi", "column": "tags"},
    {"name": "device", "kind": "field", "column": "device"},
    {"name": "price", "kind": "number", "column": "price"},
    {"name": "hour", "kind": "time", "part": "hour"},
]
Shape = tuple[int, int, int]
"""Entities, concepts in all vectors together, size of the vocabulary: what all ways must agree on."""


def write_events(folder: Path, events: int, skew: str = "") -> None:
    """Events of events / 20 users with long-tailed items, categories and tags; one file a core and more. skew: see
    `SKEWS`."""
    uniform = "((hash(i * {0} + 5) % 1000003) / 1000003.0)"
    user = f"(hash(i * 7 + 1) % {max(events // 20, 1)})::BIGINT"
    item = f"floor(pow({uniform.format(11)}, 2.5) * 20000)::INT"
    half = "CASE WHEN hash(i * 29 + 3) % 2 = 0 THEN 0 ELSE {} END"
    user = half.format(user) if skew == "entity" else user
    item = half.format(item) if skew == "concept" else item
    duckdb.sql(f"""
        COPY (SELECT
            i % 4 AS part,
            'u' || ({user}) AS user,
            TIMESTAMP '2026-01-01' + INTERVAL (hash(i * 3 + 2) % 2592000) SECOND AS time,
            'item' || ({item}) AS item,
            'cat' || floor(pow({uniform.format(13)}, 2) * 300)::INT AS category,
            list_transform(range(1 + (hash(i * 5) % 4)::INT),
                lambda j: 'tag' || floor(pow((hash(i * 17 + j) % 1000003) / 1000003.0, 2) * 2000)::INT) AS tags,
            ['ios', 'android', 'web', 'tv'][1 + (hash(i * 19) % 4)::INT] AS device,
            round(exp({uniform.format(23)} * 8), 2) AS price
        FROM range({events}) t(i)) TO '{folder}' (FORMAT parquet, PARTITION_BY (part))""")


def ours(config: Config, spark: SparkSession) -> Shape:
    """The whole stage."""
    run(config)
    tables = Tables(config, spark)
    vectors = current_generation(Path(tables.path("concept_vectors")), "vectors", "unfold")
    return shape_of(f"{vectors}/*.parquet", "len(concept_ids)", tables.read("vocabulary").count())


def mllib(events: str, output: str, spark: SparkSession) -> Shape:
    """CountVectorizer over each user's concepts."""

    def named(rule: str, value: Column) -> Column:
        return F.concat(F.lit(f"content.{rule}="), value)

    price = F.concat(F.lit("2^"), F.rint(F.log2("price")).cast("int").cast("string"))
    single = [named(name, F.col(name)) for name in ("item", "category", "device")] + [
        named("price", price),
        named("hour", F.hour("time").cast("string")),
    ]
    concepts = F.concat(F.array(*single), F.transform("tags", lambda tag: named("tags", tag)))
    rows_df = spark.read.parquet(events).where(F.col("time") < F.lit(CUTOFF).cast("timestamp"))
    users_df = rows_df.select("user", concepts.alias("concepts")).groupBy("user")
    users_df = users_df.agg(F.flatten(F.collect_list("concepts")).alias("concepts")).persist()
    vectorizer = CountVectorizer(inputCol="concepts", outputCol="vector", minDF=MIN_ENTITIES, vocabSize=2**30)
    model = vectorizer.fit(users_df)
    model.transform(users_df).select("user", "vector").write.mode("overwrite").parquet(output)
    users_df.unpersist()
    return shape_of(f"{output}/*.parquet", "len(vector.indices)", len(model.vocabulary))


def duck(events: str, output: str) -> Shape:
    """One SQL statement a step."""
    connection = duckdb.connect()
    connection.sql(f"SET threads = {os.cpu_count()}")
    connection.sql(f"""
        CREATE TEMP TABLE weights AS
        WITH events AS (SELECT * FROM '{events}/*/*.parquet' WHERE time < TIMESTAMP '{CUTOFF}'),
        concepts AS (
            SELECT user, 'content.item=' || item AS concept FROM events
            UNION ALL SELECT user, 'content.category=' || category FROM events
            UNION ALL SELECT user, 'content.tags=' || unnest(tags) FROM events
            UNION ALL SELECT user, 'content.device=' || device FROM events
            UNION ALL SELECT user, 'content.price=2^' || round(log2(price))::INT FROM events
            UNION ALL SELECT user, 'content.hour=' || hour(time) FROM events)
        SELECT user, concept, count(*) AS weight FROM concepts GROUP BY ALL""")
    connection.sql(f"""
        CREATE TEMP TABLE vocabulary AS
        SELECT concept, (row_number() OVER (ORDER BY entities DESC, concept) - 1)::INT AS id FROM
            (SELECT concept, count(*) AS entities FROM weights GROUP BY concept HAVING count(*) >= {MIN_ENTITIES})""")
    connection.sql(f"""
        COPY (SELECT user, list_transform(entries, lambda x: x.id) AS ids,
                     list_transform(entries, lambda x: x.weight) AS weights FROM
              (SELECT user, list_sort(list({{id: id, weight: ln(1 + weight)::FLOAT}})) AS entries
               FROM weights JOIN vocabulary USING (concept) GROUP BY user))
        TO '{output}' (FORMAT parquet)""")
    ((size,),) = connection.sql("SELECT count(*) FROM vocabulary").fetchall()
    connection.close()
    return shape_of(output, "len(ids)", size)


def shape_of(files: str, length: str, vocabulary: int) -> Shape:
    """length: of a row's entries, in SQL."""
    ((entities, weights),) = duckdb.sql(f"SELECT count(*), sum({length})::BIGINT FROM '{files}'").fetchall()
    return (entities, weights, vocabulary)


def configuration(folder: Path, events: str) -> Config:
    """Of our way; it works in {folder}/work."""
    source = {"name": "content", "path": events, "entity": "user", "time": "time", "rules": RULES}
    source["timezone"] = "UTC"  # DuckDB writes times without a zone
    content = {
        "run": {"name": "benchmark", "workdir": str(folder / "work")},
        "spark": {"master": f"local[{os.cpu_count()}]", "tables": "parquet", "driver_memory": "4g"},
        "sources": [source],
        "unfold": {"cutoff": CUTOFF, "vocabulary": {"min_entities": MIN_ENTITIES}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_config([folder / "config.yaml"])
