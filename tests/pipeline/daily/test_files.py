"""Files go by the same names in the list of a source's files and in the rows read from them."""

from __future__ import annotations

import pytest

from pipeline.daily.files import _listed
from pipeline.sources import FILE, read_marked
from tests.pipeline.unfold.helpers import event_source


@pytest.mark.parametrize("kind", ["parquet", "json", "delta"])
def test_listed_files_are_those_of_the_rows(spark, tmp_path, make_config, kind):
    path = str(tmp_path / "a b" / "50%25 é")
    rows_df = spark.createDataFrame([("u", "2026-02-01"), ("v", "2026-02-02")], "user string, at string")
    rows_df.repartition(2, "user").write.partitionBy("user").format(kind).save(path)
    source = event_source(path, [{"name": "hour", "kind": "time"}], format=kind)
    config = make_config(sources=[source])
    marked_df = read_marked(config, config.sources[0], with_file=True)
    listed = _listed(config, spark, config.sources[0], "reading")
    assert len(listed) == 2
    assert {row[FILE] for row in marked_df.collect()} == set(listed)
    assert marked_df.where(marked_df[FILE].isin(sorted(listed)[:1])).count() == 1
    assert all(state.bytes > 0 and state.modified > 0 for state in listed.values())
    assert FILE not in marked_df.select("_raw").first()[0]
