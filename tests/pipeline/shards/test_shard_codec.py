"""Binary columns decode to what was encoded, sliced or not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.shards.codec import FLOAT, INT, join_rows, pack, pack_lists, rows_alike, take, to_table, unpack
from tests.pipeline.shards.conftest import make_rows

ragged = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5), max_size=12)


@given(ragged)
def test_a_packed_list_column_unpacks_to_the_same_values(rows: list[list[int]]) -> None:
    packed = pack_lists(pa.array(rows, pa.list_(pa.int32())), INT)
    values, offsets = unpack(packed, INT)
    assert [values[a:b].tolist() for a, b in pairwise(offsets)] == rows
    assert [np.frombuffer(row, INT).tolist() for row in packed.to_pylist()] == rows


@given(ragged, st.integers(0, 12), st.integers(0, 12))
def test_slices_of_arrow_columns_are_packed_and_unpacked_as_slices(
    rows: list[list[int]], start: int, size: int
) -> None:
    column = pa.array(rows, pa.list_(pa.int32()))
    expected = rows[start : start + size]
    for sliced in (pack_lists(column.slice(start, size), INT), pack_lists(column, INT).slice(start, size)):
        values, offsets = unpack(sliced, INT)
        assert [values[a:b].tolist() for a, b in pairwise(offsets)] == expected


alike = st.tuples(st.lists(st.integers(0, 9), max_size=4), st.integers(1, 6)).map(lambda some: [some[0]] * some[1])


@given(ragged | alike, st.data())
def test_rows_taken_are_the_rows_at_those_places(rows: list[list[int]], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(rows)))) if rows else []
    order = order[: data.draw(st.integers(0, len(rows)))]
    values, offsets = take(pack_lists(pa.array(rows, pa.list_(pa.int32())), INT), np.array(order, np.int64), INT)
    assert [values[a:b].tolist() for a, b in pairwise(offsets)] == [rows[place] for place in order]


@given(ragged | alike)
def test_rows_are_alike_where_each_is_the_first(rows: list[list[int]]) -> None:
    found = rows_alike(*unpack(pack_lists(pa.array(rows, pa.list_(pa.int32())), INT), INT))
    assert found == all(row == rows[0] for row in rows)


def test_values_are_little_endian() -> None:
    assert pack(np.array([1, 258], INT), np.array([0, 2])).to_pylist() == [b"\x01\x00\x00\x00\x02\x01\x00\x00"]
    assert pack(np.array([1.0], FLOAT), np.array([0, 1])).to_pylist() == [b"\x00\x00\x80\x3f"]


def test_nulls_and_broken_values_are_refused() -> None:
    with pytest.raises(ValueError, match="nulls"):
        unpack(pa.array([b"abcd", None], pa.binary()), INT)
    with pytest.raises(ValueError, match="whole number"):
        unpack(pa.array([b"abc"], pa.binary()), INT)
    with pytest.raises(ValueError, match="nulls"):
        pack_lists(pa.array([[1, None]], pa.list_(pa.int32())), INT)


def test_rows_joined_from_slices_are_the_rows() -> None:
    rows = make_rows(20)
    joined = join_rows([rows.slice(0, 7), rows.slice(7, 7), rows.slice(7, 20)])
    for name in rows.__slots__:
        assert np.array_equal(getattr(joined, name), getattr(rows, name)), name


def test_a_table_holds_one_value_a_row() -> None:
    table = to_table(make_rows(5), list("abcde"))
    assert table.num_rows == 5
    assert table.column("entity_id").to_pylist() == list("abcde")
