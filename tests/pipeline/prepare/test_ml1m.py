"""MovieLens-1M as pairs of users and movies: what is taken does not depend on who else is there."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.config import load_config
from pipeline.config.preparing import Pairs
from pipeline.errors import UserError
from pipeline.prepare.events import MalformedLine
from pipeline.prepare.ml1m import parse, write_pairs

MOVIES = range(1, 41)


def write_ratings(data: Path, *more: str, users: range = range(1, 7)) -> None:
    """User u has rated the movies u, 2u, 3u …; 1 to 5 stars."""
    lines = [f"{user}::{movie}::{movie % 5 + 1}" for user in users for movie in MOVIES if movie % user == 0]
    (data / "ml-1m").mkdir(parents=True, exist_ok=True)
    (data / "ml-1m" / "ratings_notime.dat").write_text("\n".join([*lines, *more]) + "\n")


def pairs(tmp_path: Path, **settings: int) -> list[dict]:
    written = write_pairs(tmp_path, tmp_path / "events", Pairs(**settings))
    return pq.read_table(written.path).to_pylist()


def test_rated_movies_have_their_stars_and_others_none(tmp_path: Path) -> None:
    write_ratings(tmp_path)
    found = pairs(tmp_path, users=10, ratings=5, negatives=2)
    assert len({row["pair"] for row in found}) == len(found)
    for row in found:
        rated = row["movie"] % row["user"] == 0
        assert row["rated"] == rated
        assert row["stars"] == (row["movie"] % 5 + 1 if rated else None)
        assert row["pair"] == f"{row['user']}:{row['movie']}"
    for user in range(2, 7):
        own = [row["rated"] for row in found if row["user"] == user]
        assert sum(own) == 5
        assert len(own) == 15
    # Who has rated everything has nothing left unrated.
    assert [row["rated"] for row in found if row["user"] == 1] == [True] * 5


def test_what_is_taken_of_a_user_does_not_depend_on_the_others(tmp_path: Path) -> None:
    write_ratings(tmp_path / "few", users=range(1, 4))
    write_ratings(tmp_path / "many")
    few, many = (pairs(tmp_path / name, users=10, ratings=5) for name in ("few", "many"))
    assert few == [row for row in many if row["user"] < 4]
    assert pairs(tmp_path / "many", users=10, ratings=5) == many
    assert pairs(tmp_path / "many", users=10, ratings=5, seed=1) != many
    assert len({row["user"] for row in pairs(tmp_path / "many", users=2)}) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1::2", "2 fields instead of 3"),
        ("x::2::3", "the user is 'x'"),
        ("1::-2::3", "the movie is '-2'"),
        ("1::2::6", "the rating is 6, not 1 to 5"),
        ("1::99999999999::3", "the movie is"),
    ],
)
def test_lines_that_are_no_rating(line: str, reason: str) -> None:
    with pytest.raises(MalformedLine, match=reason):
        parse(line)


def test_bad_lines_are_told_and_a_second_rating_is_one(tmp_path: Path) -> None:
    write_ratings(tmp_path, "nonsense", "2::2::4", "")
    written = write_pairs(tmp_path, tmp_path / "events", Pairs())
    assert [one.reason for one in written.bad] == [
        "1 fields instead of 3",
        "the user has rated this movie on a line before",
    ]


def test_no_file_and_no_rating_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ratings_notime\.dat: no such file"):
        write_pairs(tmp_path, tmp_path / "events", Pairs())
    (tmp_path / "ml-1m").mkdir()
    (tmp_path / "ml-1m" / "ratings_notime.dat").write_text("?\n")
    with pytest.raises(UserError, match=r"not one line is a rating \(line 1: 1 fields"):
        write_pairs(tmp_path, tmp_path / "events", Pairs())


def test_pairs_are_for_ml1m_alone() -> None:
    with pytest.raises(UserError, match=r"prepare\.pairs is for dataset ml1m, not adult"):
        load_config([], ["prepare={dataset: adult, pairs: {users: 5}}"])
