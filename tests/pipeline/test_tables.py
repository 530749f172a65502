"""Tables: replaced whole or not at all, in both formats."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.errors import UserError
from pipeline.tables import Tables


@pytest.fixture(params=["delta", "parquet"])
def tables(request, make_config, spark: SparkSession) -> Tables:
    return Tables(make_config(f"spark.tables={request.param}"), spark)


def names(tables: Tables) -> list[str]:
    return sorted(row.name for row in tables.read("people").collect())


def test_what_is_written_is_read_and_a_second_writing_takes_its_place(tables: Tables, spark: SparkSession) -> None:
    assert not tables.exists("people")
    tables.replace("people", spark.createDataFrame([("ann", 1)], "name string, age int"))
    assert tables.exists("people")
    tables.replace("people", spark.createDataFrame([("bob", 2.5), ("cy", None)], "name string, height double"))
    assert names(tables) == ["bob", "cy"]
    assert tables.read("people").columns == ["name", "height"]


def test_a_writing_that_fails_leaves_the_old_table(tables: Tables, spark: SparkSession) -> None:
    tables.replace("people", spark.createDataFrame([("ann",)], "name string"))
    failing_df = spark.range(100).select(F.expr("if(id = 99, raise_error('too old'), 'x')").alias("name"))
    with pytest.raises(Exception, match="too old"):  # Delta's and Spark's own exceptions have no base in common
        tables.replace("people", failing_df)
    assert names(tables) == ["ann"]
    tables.replace("people", spark.createDataFrame([("bob",)], "name string"))
    assert names(tables) == ["bob"]


def test_a_table_may_be_replaced_by_what_was_made_from_it(tables: Tables, spark: SparkSession) -> None:
    tables.replace("people", spark.createDataFrame([("ann",), ("bob",)], "name string"))
    tables.replace("people", tables.read("people").where("name > 'ann'"))
    assert names(tables) == ["bob"]


def test_a_table_that_is_not_there_names_the_stage_to_run(tables: Tables) -> None:
    with pytest.raises(UserError, match="no table people here; run the unfold stage first"):
        tables.read("people", "the unfold")


@pytest.mark.parametrize("name", ["../people", "a b", "people;", "", "a/b"])
def test_unsafe_names_are_refused(tables: Tables, spark: SparkSession, name: str) -> None:
    for use in (tables.path, tables.exists, tables.read, lambda name: tables.replace(name, spark.range(1))):
        with pytest.raises(ValueError, match=r"is not a (plain|safe table) name"):
            use(name)


def test_part_of_a_delta_table_is_replaced_and_the_rest_stays(make_config, spark: SparkSession) -> None:
    tables = Tables(make_config("spark.tables=delta"), spark)

    def write(day: str, score: float) -> None:
        rows_df = spark.createDataFrame([("ann", day, score)], "name string, day string, score double")
        tables.replace_where("scores", rows_df, f"day = '{day}'", ["day"])

    write("2026-03-01", 0.1)
    write("2026-03-02", 0.2)
    write("2026-03-01", 0.3)
    rows = {row.day: row.score for row in tables.read("scores").collect()}
    assert rows == {"2026-03-01": 0.3, "2026-03-02": 0.2}


def test_part_of_a_parquet_table_cannot_be_replaced(make_config, spark: SparkSession) -> None:
    tables = Tables(make_config("spark.tables=parquet"), spark)
    with pytest.raises(UserError, match="needs spark"):
        tables.replace_where("scores", spark.range(1), "id = 0", ["id"])


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_a_place_that_cannot_be_written_is_told(make_config, spark: SparkSession, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    tables = Tables(make_config(f"spark.tables={kind}", f"run.workdir={tmp_path}/file/work"), spark)
    with pytest.raises(UserError, match="cannot be written"):
        tables.replace("people", spark.range(1))


def test_tables_that_belong_together_cannot_be_read_until_all_are_written(spark, make_config):
    config = make_config("spark.tables=parquet")
    writer, reader = Tables(config, spark), Tables(config, spark)
    writer.replace("one", spark.range(1))
    with writer.together("one", "other"):
        writer.replace("one", spark.range(2))
        assert writer.read("one").count() == 2
        with pytest.raises(UserError, match="run the unfold stage again"):
            reader.read("one", "the unfold")
        writer.replace("other", spark.range(3))
    assert reader.read("one").count() == 2
    assert reader.read("other").count() == 3


@pytest.mark.parametrize("replaced", ["one", "beside_them"])
def test_tables_that_nobody_touched_stay_readable(spark, make_config, replaced):
    """A refusal before any table is written; after it they are no longer one whole."""
    config = make_config("spark.tables=parquet")
    writer, reader = Tables(config, spark), Tables(config, spark)
    for name in ("one", "other"):
        writer.replace(name, spark.range(1))
    with pytest.raises(UserError, match="refused"), writer.together("one", "other"):
        raise UserError("refused")
    assert reader.read("one").count() == 1
    with pytest.raises(RuntimeError), writer.together("one", "other"):
        _replace_and_fail(writer, spark, replaced)
    for _ in range(2):  # and a second refusal does not make them whole again
        with pytest.raises(UserError, match="run the unfold stage again"):
            reader.read("one", "the unfold")
        with pytest.raises(UserError, match="refused"), writer.together("one", "other"):
            raise UserError("refused")


def _replace_and_fail(tables, spark, name):
    tables.replace(name, spark.range(2))
    raise RuntimeError
