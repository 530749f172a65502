"""Sources of every format are read alike; bad rows are set apart, with the reason, and counted."""

from __future__ import annotations

import tempfile
from datetime import datetime

import pytest

from pipeline.config import to_yaml
from pipeline.entry import main
from pipeline.errors import UserError
from pipeline.sources import read_source
from pipeline.unfold import run
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, event_source, facts_of, quarantined, unfolded, write_json

RULES = [{"name": "item", "kind": "field", "column": "item"}]


def rows_of(config):
    return sorted(
        tuple(row) for row in read_source(config, config.sources[0]).select("_entity", "_time", "item").collect()
    )


@pytest.mark.parametrize("form", ["parquet", "csv", "json", "delta"])
def test_every_format_gives_the_same_rows(spark, tmp_path, make_config, form):
    path = str(tmp_path / "events")
    rows_df = spark.createDataFrame([("u1", "2026-02-01 10:00:00", "a"), ("u2", "2026-02-02 11:00:00", "b")])
    rows_df.toDF("user", "at", "item").write.format(form).options(header="true").save(path)
    options = {"header": "true"} if form == "csv" else {}
    config = make_config(sources=[event_source(path, RULES) | {"format": form, "options": options}])
    assert rows_of(config) == [
        ("u1", datetime(2026, 2, 1, 10), "a"),
        ("u2", datetime(2026, 2, 2, 11), "b"),
    ]


@pytest.mark.parametrize(
    ("unit", "value"), [("seconds", 1770000000), ("milliseconds", 1770000000000), ("timestamp", "2026-02-02T02:40:00Z")]
)
def test_times_come_in_any_unit(spark, tmp_path, make_config, unit, value):
    path = write_json(tmp_path, "events", [{"user": "u", "at": value, "item": "a"}])
    config = make_config(sources=[event_source(path, RULES, time_unit=unit)])
    assert rows_of(config) == [("u", datetime(2026, 2, 2, 2, 40), "a")]


@pytest.mark.parametrize(
    ("zone", "at", "expected"),
    [
        ("UTC", "2026-02-01 10:00:00", 10),
        ("Europe/Rome", "2026-02-01 10:00:00", 9),
        ("Europe/Rome", "2026-02-01T11", 10),
        ("Europe/Rome", "2026-02-01T10:00:00Z", 10),
        (None, "2026-02-01 10:00:00+02:00", 8),
        (None, "2026-02-01 10:00:00 America/New_York", 15),
    ],
)
def test_times_without_a_zone_are_of_the_configured_one(spark, tmp_path, make_config, zone, at, expected):
    path = write_json(tmp_path, "events", [{"user": "u", "at": at, "item": "a"}])
    config = make_config(sources=[event_source(path, RULES, timezone=zone)])
    assert rows_of(config) == [("u", datetime(2026, 2, 1, expected), "a")]


@pytest.mark.parametrize("kind", ["date", "timestamp_ntz"])
def test_columns_without_a_zone_are_of_the_configured_one(spark, tmp_path, make_config, kind):
    path = str(tmp_path / "events")
    spark.sql(f"SELECT 'u' AS user, cast('2026-02-01' AS {kind}) AS at, 'a' AS item").write.parquet(path)
    source = event_source(path, RULES, format="parquet")
    assert rows_of(make_config(sources=[source | {"timezone": "Asia/Tokyo"}])) == [
        ("u", datetime(2026, 1, 31, 15), "a")
    ]
    config = make_config(sources=[source | {"timezone": None}])
    with pytest.raises(UserError, match=f"source s: time at is {kind}, which names no time zone; set timezone: UTC"):
        read_source(config, config.sources[0])


def test_ids_of_mixed_types_are_of_one_entity(quick, tmp_path, make_config):
    kinds = {"string": "' 7 '", "bigint": "7", "double": "7.0", "decimal(9,2)": "7.00"}
    sources = []
    for name, (kind, value) in zip("abcd", kinds.items(), strict=True):
        path = str(tmp_path / name)
        quick.sql(f"SELECT cast({value} AS {kind}) AS user, '{name}' AS item").write.parquet(path)
        sources.append({"name": name, "path": path, "entity": "user", "rules": RULES})
    vectors = unfolded(make_config(*SETTINGS, sources=sources), quick)
    assert vectors == {"7": {f"{name}.item={name}": 1 for name in "abcd"}}


def test_ids_that_are_no_single_value_are_refused(quick, tmp_path, make_config):
    path = str(tmp_path / "events")
    quick.sql("SELECT array(7) AS user, 'a' AS item").write.parquet(path)
    source = {"name": "s", "path": path, "entity": "user", "rules": RULES}
    with pytest.raises(UserError, match=r"user is array<int>, not one value"):
        run(make_config(*SETTINGS, sources=[source]))


def test_a_zone_for_instants_is_refused(spark, tmp_path, make_config):
    path = str(tmp_path / "events")
    spark.sql("SELECT 'u' AS user, timestamp'2026-02-01' AS at, 'a' AS item").write.parquet(path)
    config = make_config(sources=[event_source(path, RULES, format="parquet")])
    with pytest.raises(UserError, match="time at is timestamp, which are instants whatever the zone"):
        read_source(config, config.sources[0])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"timezone": "Mars/Olympus"}, "'Mars/Olympus' is no time zone such as UTC"),
        ({"timezone": "UTC", "time_unit": "seconds"}, "timezone is for a time column of unit timestamp"),
        ({"timezone": "UTC", "time": None}, "timezone is for a time column"),
    ],
)
def test_zones_that_make_no_sense_are_refused(make_config, more, message):
    with pytest.raises(UserError, match=message):
        make_config(sources=[event_source("x", RULES, **more)])


def test_columns_are_renamed_typed_and_filtered(spark, tmp_path, make_config):
    path = tmp_path / "events.csv"
    path.write_text("1|2026-02-01|a|3\n1|2026-02-01|b|12\n", encoding="utf-8")
    rename = {"_c0": "user", "_c1": "at", "_c2": "item", "_c3": "price"}
    source = event_source(str(path), RULES, rename=rename, types={"price": "int"}, where="price > 5")
    config = make_config(sources=[source | {"format": "csv", "options": {"sep": "|"}}])
    assert rows_of(config) == [("1", datetime(2026, 2, 1), "b")]


def test_bad_rows_of_json_are_quarantined_with_the_reason(spark, tmp_path, make_config):
    good = {"user": "u", "at": "2026-02-01", "item": "a", "price": "3"}
    bad = [{"user": None}, {"user": ""}, {"at": None}, {"at": "yesterday"}, {"price": "dear"}]
    path = write_json(tmp_path, "events", [good, *({**good, **change} for change in bad), {**good, "price": None}])
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"user": "u", "at"\n')
    config = make_config(
        *SETTINGS, sources=[event_source(path, RULES, types={"price": "double"})], unfold={"cutoff": CUTOFF}
    )
    run(config)
    rows = quarantined(config, spark)
    assert len(rows) == 6
    assert all(source == "s" for source, _, _ in rows)
    assert [row["at"] for _, reason, row in rows if reason.startswith(("at", "time")) and "at" in row] == ["yesterday"]
    assert [row["price"] for _, reason, row in rows if reason.startswith("price")] == ["dear"]
    assert sum("user" in reason or "entity" in reason for _, reason, _ in rows) == 2
    counts = facts_of(config)["sources"]["s"]["quarantined"]
    assert sum(counts.values()) == 6
    assert facts_of(config)["sources"]["s"]["rows"] == 2


def test_broken_csv_records_are_quarantined_whole(spark, tmp_path, make_config):
    path = tmp_path / "events.csv"
    path.write_text("user,at,item\nu,2026-02-01,a\nu,2026-02-01\nu,2026-02-01,a,b,c\n", encoding="utf-8")
    source = event_source(str(path), RULES) | {"format": "csv", "options": {"header": "true"}}
    config = make_config(*SETTINGS, sources=[source], unfold={"cutoff": CUTOFF})
    run(config)
    assert sorted(row["_corrupt_record"] for _, _, row in quarantined(config, spark)) == [
        "u,2026-02-01",
        "u,2026-02-01,a,b,c",
    ]
    assert facts_of(config)["sources"]["s"]["rows"] == 1


def test_the_type_of_an_unrelated_later_value_changes_no_text(spark, tmp_path, make_config):
    rows = [{"user": "u", "at": "2026-02-01", "item": 1}]
    for later in ([], [{"user": "u", "at": "2026-03-02", "item": 1.5}]):
        path = write_json(tmp_path, "events", [*rows, *later])
        config = make_config(sources=[event_source(path, RULES)])
        assert rows_of(config)[0][2] == "1"


def test_csv_files_with_columns_in_another_order_are_refused_not_swapped(spark, tmp_path, make_config, capsys):
    folder = tmp_path / "events"
    folder.mkdir()
    (folder / "1.csv").write_text("user,at,item\nu,2026-02-01,a\n", encoding="utf-8")
    (folder / "2.csv").write_text("item,at,user\na,2026-02-01,u\n", encoding="utf-8")
    source = event_source(str(folder), RULES) | {"format": "csv", "options": {"header": "true"}}
    config = make_config(*SETTINGS, sources=[source], unfold={"cutoff": CUTOFF})
    assert_refused(config, capsys, "another order of them")


def test_parquet_files_that_disagree_on_a_type_are_refused(spark, tmp_path, make_config, capsys):
    folder = tmp_path / "events"
    for name, kind in (("1", "string"), ("2", "int")):
        rows_df = spark.createDataFrame([("2026-02-01", "a", "7")], "at string, item string, user string")
        rows_df.withColumn("user", rows_df["user"].cast(kind)).write.parquet(str(folder / name))
    config = make_config(
        *SETTINGS,
        sources=[event_source(str(folder), RULES) | {"format": "parquet", "options": {"recursiveFileLookup": "true"}}],
        unfold={"cutoff": CUTOFF},
    )
    assert_refused(config, capsys, "FAILED_READ_FILE")


def test_a_column_with_a_dot_that_nobody_names_does_no_harm(spark, tmp_path, make_config):
    path = tmp_path / "events.csv"
    path.write_text("user,at,item,hours.per.week\nu,2026-02-01,a,40\n", encoding="utf-8")
    source = event_source(str(path), RULES) | {"format": "csv", "options": {"header": "true"}}
    config = make_config(*SETTINGS, sources=[source], unfold={"cutoff": CUTOFF})
    assert unfolded(config, spark) == {"u": {"s.item=a": 1}}


def assert_refused(config, capsys, words):
    """As a job: exit code 2, and the words without a traceback."""
    with pytest.raises(SystemExit) as exit_info:
        run_entry(run, config)
    assert exit_info.value.code == 2
    told = capsys.readouterr().err
    assert words in told.splitlines()[-1]


def run_entry(stage, config):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(to_yaml(config))
        file.flush()
        main("A stage.", stage, ["--config", file.name])
