"""A shard folder is opened only when it is whole; what it says of tasks, masks and concepts."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from pipeline.config import load_config
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.shards.dataset import ShardSet, open_folder, open_shards
from pipeline.shards.manifest import read_manifest
from pipeline.shards.writer import TaskSpec, write_shards
from tests.pipeline.shards.conftest import SIZES, make_rows


def test_tasks_masks_fields_and_concepts_come_back(shards: ShardSet) -> None:
    assert [(task.name, task.kind, task.outputs) for task in shards.tasks] == [
        ("a", "binary", 1),
        ("b", "multiclass", 2),
    ]
    assert shards.manifest.tasks[1].classes == ["x", "y"]
    masks = shards.masks()
    assert masks.mask_concepts.tolist() == [1, 2]
    assert masks.task_mask.tolist() == [1, 0]
    assert torch.equal(shards.fields(), torch.arange(24) % 3)
    assert shards.manifest.fields == ["events.rule0", "events.rule1", "events.rule2"]
    assert shards.concepts()[4] == "events.rule1=4"


def test_files_have_exact_row_groups(shards: ShardSet) -> None:
    files = shards.manifest.splits["support"].files
    assert [file.row_groups for file in files] == [[8] * 5, [8] * 5, [8, 8, 7]]
    for file in files:
        metadata = pq.read_metadata(shards.folder / file.path)
        assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == file.row_groups


def test_the_folder_to_read_is_the_one_current_names(shard_folder: Path, tmp_path: Path) -> None:
    layout = Layout.of(load_config([], [f"run.workdir={tmp_path}"]))
    assert open_shards(layout).folder == shard_folder
    with pytest.raises(UserError, match="run the align stage first"):
        open_shards(Layout.of(load_config([], [f"run.workdir={tmp_path / 'empty'}"])))


def test_without_a_manifest_there_is_no_data_set(shard_folder: Path) -> None:
    (shard_folder / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"no manifest\.json.*run the align stage again"):
        open_folder(shard_folder)


@pytest.mark.parametrize("name", ["support/part-00001.parquet", "vocabulary.parquet", "masks.parquet"])
def test_a_missing_file_is_named(shard_folder: Path, name: str) -> None:
    (shard_folder / name).unlink()
    with pytest.raises(UserError, match=rf"{name}: missing"):
        open_folder(shard_folder)


def test_a_truncated_file_is_named(shard_folder: Path) -> None:
    path = shard_folder / "query" / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    for checksums in (True, False):
        with pytest.raises(UserError, match=r"query/part-00000\.parquet: .* bytes, but the manifest says"):
            open_folder(shard_folder, checksums=checksums)


@pytest.mark.parametrize("name", ["support/part-00002.parquet", "vocabulary.parquet", "masks.parquet"])
def test_an_altered_file_is_named(shard_folder: Path, name: str) -> None:
    path = shard_folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: altered"):
        open_folder(shard_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema version 99, but this program reads 1"),
        ({"tasks": 5}, "damaged"),
        ({"surprise": 1}, "damaged"),
    ],
)
def test_a_manifest_of_another_make_is_refused(shard_folder: Path, change: dict, message: str) -> None:
    path = shard_folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        read_manifest(shard_folder)


def test_half_a_manifest_is_refused(shard_folder: Path) -> None:
    path = shard_folder / "manifest.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match="cannot be read"):
        read_manifest(shard_folder)


def test_the_same_data_gives_the_same_bytes(shard_folder: Path, shards: ShardSet, tmp_path: Path) -> None:
    again = write_shards(
        tmp_path / "again",
        [TaskSpec(name="a", mask=[1, 2]), TaskSpec(name="b", kind="multiclass", classes=["x", "y"])],
        shards.concepts(),
        {split: ([f"{split}{row}" for row in range(size)], make_rows(size)) for split, size in SIZES.items()},
        rows_per_group=8,
        rows_per_file=40,
    )
    assert (again / "manifest.json").read_bytes() == (shard_folder / "manifest.json").read_bytes()
