"""Adult and a9a lines become events; other lines are refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.prepare import a9a, adult
from pipeline.prepare.events import MalformedLine, write_events

RECORD = (
    "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, "
    "United-States, <=50K"
)


def write_adult(data: Path, train: str = RECORD, test: str = RECORD) -> None:
    (data / "adult").mkdir(parents=True, exist_ok=True)
    (data / "adult" / "adult.data").write_text(train + "\n")
    (data / "adult" / "adult.test").write_text(test + "\n")


def test_adult_record_has_numbers_and_strings():
    record = adult.parse(RECORD)
    assert record["age"] == 39
    assert record["education"] == "Bachelors"
    assert record["capital_gain"] == 2174
    assert record["income"] == "<=50K"
    assert len(record) == 15


def test_question_mark_is_missing():
    record = adult.parse(RECORD.replace("State-gov", "?").replace("United-States", "?"))
    assert record["workclass"] is None
    assert record["native_country"] is None


def test_label_of_the_original_test_file_ends_with_a_full_stop():
    assert adult.parse(RECORD + ".")["income"] == "<=50K"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("39, State-gov", "2 fields instead of 15"),
        (RECORD + ", more", "16 fields instead of 15"),
        (RECORD.replace("39", "old", 1), "age is 'old', not a whole number"),
        (RECORD.replace("77516", "-1"), "fnlwgt is '-1'"),
        (RECORD.replace("State-gov", ""), "workclass is empty"),
        (RECORD.replace("<=50K", "rich"), "income is 'rich'"),
    ],
)
def test_adult_refuses(line: str, reason: str):
    with pytest.raises(MalformedLine, match=reason.replace("(", r"\(")):
        adult.parse(line)


def test_a9a_record_keeps_the_features_that_are_one():
    assert a9a.parse("-1 3:1 11:1 14:0 83:1") == {"features": [3, 11, 83], "label": -1}
    assert a9a.parse("+1") == {"features": [], "label": 1}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 3:1", "the label is '0'"),
        ("-1 3", "'3' is not feature:value"),
        ("-1 x:1", "'x:1' is not feature:value"),
        ("-1 11:1 3:1", "feature 3 is out of order"),
        ("-1 3:1 3:1", "feature 3 is out of order"),
        ("-1 124:1", "outside 1..123"),
        ("-1 0:1", "outside 1..123"),
        ("-1 3:7", "feature 3 is '7'"),
    ],
)
def test_a9a_refuses(line: str, reason: str):
    with pytest.raises(MalformedLine, match=reason):
        a9a.parse(line)


def test_entity_is_file_and_line_number_and_part_tells_the_file(tmp_path: Path):
    write_adult(tmp_path, train=RECORD + "\n\n" + RECORD, test="|1x3 Cross validator\n" + RECORD + ".")
    written = write_events(adult.ADAPTER, tmp_path, tmp_path / "events")
    rows = pq.read_table(written.path).to_pylist()
    assert [(row["entity"], row["part"]) for row in rows] == [
        ("adult.data:1", "train"),
        ("adult.data:3", "train"),
        ("adult.test:2", "test"),
    ]
    assert written.rows == 3
    assert written.bad == []


def test_malformed_lines_are_set_aside_with_file_line_and_reason(tmp_path: Path):
    write_adult(tmp_path, train=RECORD + "\n39, State-gov")
    written = write_events(adult.ADAPTER, tmp_path, tmp_path / "events")
    assert written.rows == 2
    assert written.bad_lines == {"adult.data": 1, "adult.test": 0}
    (bad,) = written.bad
    assert (bad.source, bad.reason, bad.row) == (
        "adult.data",
        "2 fields instead of 15",
        {"line": 2, "text": "39, State-gov"},
    )


def test_same_input_gives_the_same_bytes(tmp_path: Path):
    write_adult(tmp_path)
    first = write_events(adult.ADAPTER, tmp_path, tmp_path / "one").path.read_bytes()
    again = write_events(adult.ADAPTER, tmp_path, tmp_path / "two").path.read_bytes()
    assert first == again


def test_missing_file_is_named_with_what_to_do(tmp_path: Path):
    write_adult(tmp_path)
    (tmp_path / "adult" / "adult.test").unlink()
    with pytest.raises(UserError, match=r"adult/adult\.test: no such file.*README"):
        write_events(adult.ADAPTER, tmp_path, tmp_path / "events")


def test_file_without_a_record_leaves_the_last_events_as_they_were(tmp_path: Path):
    write_adult(tmp_path)
    path = write_events(adult.ADAPTER, tmp_path, tmp_path / "events").path
    before = path.read_bytes()
    write_adult(tmp_path, test="not a record")
    with pytest.raises(UserError, match=r"adult\.test: not one line is a record.*line 1: 1 fields"):
        write_events(adult.ADAPTER, tmp_path, tmp_path / "events")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_unwritable_folder_is_an_error(tmp_path: Path):
    write_adult(tmp_path)
    (tmp_path / "events").write_text("a file in the way")
    with pytest.raises(UserError, match=r"check run\.workdir"):
        write_events(adult.ADAPTER, tmp_path, tmp_path / "events")


def test_real_files_are_read_whole(real_data: Path, tmp_path: Path):
    for adapter in (adult.ADAPTER, a9a.ADAPTER):
        written = write_events(adapter, real_data, tmp_path)
        assert written.rows == 32_561 + 16_281
        assert written.bad == []
