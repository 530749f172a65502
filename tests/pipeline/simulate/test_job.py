"""The simulate stage: what it writes, that partitioning does not matter, and how it refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.simulate import run
from pipeline.simulate.block import generate_block
from pipeline.simulate.events import block_tables, partner_list
from pipeline.simulate.job import _write_part, blocks_per_file, world_of

CUTOFF = 1_772_323_200_000_000  # 2026-03-01 UTC


@pytest.fixture
def config(make_config):
    return make_config(
        simulate={"entities": 700, "seed": 5, "block": 256, "events_per_entity": 12}, unfold={"cutoff": "2026-03-01"}
    )


def digests(folder: Path) -> dict[str, str]:
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.rglob("*.parquet")}


def test_the_stage_writes_all_tables_once(spark, config) -> None:
    run(config)
    events = Layout.of(config).workdir / "events"
    rows = {folder.name: pq.read_table(folder).num_rows for folder in events.iterdir() if folder.is_dir()}
    assert rows["profile"] == rows["truth"] == 700
    assert min(rows[name] for name in ("content", "mobile", "ads", "finance", "labels", "knowledge_base")) > 0
    assert pq.read_table(events / "profile")["entity_id"].to_pylist()[-1] == "u000000699"
    oracle = json.loads((events / "oracle.json").read_text())["segments"]
    assert len(oracle) == 68
    assert sum(one["positives"] for one in oracle) == rows["labels"]
    assert len(pq.read_table(events / "truth")["probabilities"][0]) == 68


def test_running_again_gives_the_same_bytes_and_leaves_nothing_behind(spark, config) -> None:
    workdir = Layout.of(config).workdir
    (workdir / ".writing-events" / "content").mkdir(parents=True)  # as a killed run leaves it
    run(config)
    first = digests(workdir / "events")
    run(config)
    assert digests(workdir / "events") == first
    assert sorted(one.name for one in workdir.iterdir()) == ["events", "summaries"]


def test_rows_do_not_depend_on_how_blocks_are_dealt_out(config, tmp_path) -> None:
    world = world_of(config.simulate)
    for name, parts in (("one", [range(3)]), ("three", [range(1), range(1, 2), range(2, 3)])):
        for part, numbers in enumerate(parts):
            _write_part(world, part, numbers, 256, 700, CUTOFF, str(tmp_path / name))
    for table in ("content", "mobile", "ads", "finance", "profile", "labels", "truth"):
        assert pq.read_table(tmp_path / "one" / table).equals(pq.read_table(tmp_path / "three" / table))


def test_files_depend_on_the_size_alone() -> None:
    assert [blocks_per_file(blocks) for blocks in (1, 10, 80, 50_000)] == [1, 1, 10, 32]


def test_events_have_the_shapes_that_make_unfolding_work(config) -> None:
    world = world_of(config.simulate)
    tables = block_tables(world, generate_block(world, 0, 256), 256, CUTOFF)
    first = tables["content"].slice(0, 1).to_pylist()[0]
    assert set(first["device"]) == {"os", "model"}
    assert len(first["tags"]) == 2
    assert tables["content"]["device"].combine_chunks().field("os").null_count > 0
    for opened, apps in zip(tables["mobile"]["opened"].to_pylist(), tables["mobile"]["apps"].to_pylist(), strict=True):
        assert opened == [app for app, _ in apps]
        assert len(set(opened)) == len(opened)
    assert tables["finance"]["channel"].null_count > 0


def test_a_few_bookings_in_a_thousand_are_malformed(config) -> None:
    world = world_of(config.simulate)
    amounts = [
        amount
        for number in range(8)
        for amount in block_tables(world, generate_block(world, number, 256), 2048, CUTOFF)["finance"][
            "amount"
        ].to_pylist()
    ]

    def is_number(text: str) -> bool:
        try:
            float(text)
        except ValueError:
            return False
        return True

    broken = sum(not is_number(amount) for amount in amounts)
    assert 0.001 < broken / len(amounts) < 0.006


def test_a_partner_list_implies_its_segment(config) -> None:
    world = world_of(config.simulate)
    tables = block_tables(world, generate_block(world, 0, 256), 256, CUTOFF)
    positives = set(zip(*(tables["labels"][name].to_pylist() for name in ("entity_id", "segment")), strict=True))
    segment_of = {partner_list(number): name for number, name in enumerate(world.segments.names)}
    assert len(segment_of) == len(world.segments.names)
    listed = [row for row in tables["ads"].to_pylist() if row["partner_list"]]
    assert listed
    assert all((row["entity_id"], segment_of[row["partner_list"]]) in positives for row in listed)
    assert all(row["tier"].startswith(row["audience"]) for row in listed)


def test_no_settings_is_refused(make_config) -> None:
    with pytest.raises(UserError, match="nothing to simulate"):
        run(make_config(unfold={"cutoff": "2026-03-01"}))


def test_no_cutoff_is_refused(make_config) -> None:
    with pytest.raises(UserError, match=r"unfold\.cutoff is missing"):
        run(make_config(simulate={"entities": 200}))


def test_an_unwritable_folder_is_refused(make_config, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    config = make_config(
        f"run.workdir={tmp_path / 'file' / 'work'}", simulate={"entities": 200}, unfold={"cutoff": "2026-03-01"}
    )
    with pytest.raises(UserError, match=r"cannot be written .*check run\.workdir"):
        run(config)
