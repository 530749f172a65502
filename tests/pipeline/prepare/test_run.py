"""The stage: events where the sources look for them, bad lines in the quarantine, counts in the summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import prepare, summary
from pipeline.layout import Layout
from pipeline.quarantine import BadRow, Quarantine
from pipeline.tables import Tables


def write_a9a(data: Path, *lines: str) -> None:
    (data / "a9a").mkdir(parents=True, exist_ok=True)
    (data / "a9a" / "a9a").write_text("\n".join(lines) + "\n")
    (data / "a9a" / "a9a.t").write_text("+1 5:1\n")


def test_bad_lines_are_quarantined_and_a_second_run_replaces_them(spark, make_config, tmp_path):
    config = make_config("prepare.dataset=a9a", f"run.data={tmp_path}", "spark.tables=parquet")
    write_a9a(tmp_path, "-1 3:1", "what", "0 3:1")
    prepare.run(config)
    layout = Layout.of(config)
    events_df = spark.read.parquet(str(layout.workdir / "events" / "a9a.parquet"))
    rows = [tuple(row) for row in events_df.orderBy("entity").collect()]
    assert rows == [("a9a.t:1", "test", [5], 1), ("a9a:1", "train", [3], -1)]
    bad = Tables(config, spark).read("quarantine").orderBy("row").collect()
    assert [(row.stage, row.source) for row in bad] == [("prepare", "a9a"), ("prepare", "a9a")]
    assert bad[0].row == '{"line": 2, "text": "what"}'
    assert "neither +1 nor -1" in bad[0].reason
    facts = summary.read(layout, "prepare")
    assert (facts["rows"], facts["quarantined"]) == (2, 2)

    write_a9a(tmp_path, "-1 3:1")
    prepare.run(config)
    assert Tables(config, spark).read("quarantine").count() == 0


@pytest.mark.parametrize("tables", ["delta", "parquet"])
def test_a_stage_replaces_only_its_own_bad_rows(spark, make_config, tables):
    config = make_config(f"spark.tables={tables}")
    one, other = Quarantine(config, "prepare"), Quarantine(config, "unfold")
    one.replace([BadRow(source="s", reason="r", row={"a": 1})])
    other.replace([BadRow(source="s", reason="r", row={"a": 2})])
    one.replace([BadRow(source="s", reason="r", row={"a": 3})])
    rows = Tables(config, spark).read("quarantine").orderBy("row").collect()
    assert [(row.stage, row.row) for row in rows] == [("unfold", '{"a": 2}'), ("prepare", '{"a": 3}')]


def test_dataset_none_does_nothing(make_config):
    config = make_config()
    prepare.run(config)
    assert not Layout.of(config).workdir.exists()
