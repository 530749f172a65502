"""MovieLens-1M as a chain: pairs (user, movie), rated or not, made from `ratings_notime.dat`.

    1::1193::5

A sample of users, of each at most so many rated movies, and for each rated one `negatives` movies that the user has not
rated, all movies alike: what "rated" is told from. Who and what is taken depends on the seed and the user alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.preparing import Pairs
from pipeline.errors import UserError
from pipeline.prepare.events import MalformedLine, Written
from pipeline.quarantine import BadRow

FILE = "ratings_notime.dat"
SCHEMA = pa.schema(
    [("pair", pa.string()), ("user", pa.int32()), ("movie", pa.int32()), ("rated", pa.bool_()), ("stars", pa.int8())]
)
"""stars: null where the movie is not rated."""
_MOST_ID = 1_000_000


@dataclass(frozen=True, slots=True)
class _Ratings:
    """By user: the movies rated, as a mapping movie -> stars; and all movies that anyone rated, ascending."""

    of_user: dict[int, dict[int, int]]
    movies: np.ndarray


def parse(line: str) -> tuple[int, int, int]:
    """User, movie and stars of a rating. Raises MalformedLine."""
    values = line.split("::")
    if len(values) != 3:
        raise MalformedLine(f"{len(values)} fields instead of 3")
    for name, text in zip(("user", "movie", "rating"), values, strict=True):
        if not (text.isascii() and text.isdigit() and int(text) < _MOST_ID):
            raise MalformedLine(f"the {name} is {text!r}, not a whole number")
    user, movie, stars = map(int, values)
    if not 1 <= stars <= 5:
        raise MalformedLine(f"the rating is {stars}, not 1 to 5")
    return user, movie, stars


def write_pairs(data: Path, folder: Path, settings: Pairs) -> Written:
    """Write `<folder>/ml1m.parquet`, whole or not at all; the same bytes for the same input.

    Raises UserError where the file is missing or holds no rating, or the folder cannot be written.
    """
    path = data / "ml-1m" / FILE
    if not path.is_file():
        raise UserError(
            f"{path}: no such file. MovieLens-1M is looked for in {path.parent}: put it there, or say where your data "
            "stands with DATA= (make) or --set run.data=; README.md tells more"
        )
    bad: list[BadRow] = []
    ratings = _read(path, bad)
    if not ratings.of_user:
        why = f" (line {bad[0].row['line']}: {bad[0].reason})" if bad else " (it is empty)"
        raise UserError(f"{path}: not one line is a rating{why}; see README.md")
    final = folder / "ml1m.parquet"
    temporary = folder / f".{final.name}.{os.getpid()}"
    rows = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            for table in _tables(ratings, settings):
                writer.write_table(table)
                rows += table.num_rows
        os.replace(temporary, final)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); check run.workdir") from None
    finally:
        temporary.unlink(missing_ok=True)
    return Written(path=final, rows=rows, bad=bad, bad_lines={FILE: len(bad)})


def _read(path: Path, bad: list[BadRow]) -> _Ratings:
    of_user: dict[int, dict[int, int]] = {}
    movies: set[int] = set()
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text:
                continue
            try:
                user, movie, stars = parse(text)
                if movie in of_user.get(user, {}):
                    raise MalformedLine("the user has rated this movie on a line before")
            except MalformedLine as error:
                bad.append(BadRow(source=FILE, reason=str(error), row={"line": number, "text": text}))
                continue
            of_user.setdefault(user, {})[movie] = stars
            movies.add(movie)
    return _Ratings(of_user, np.array(sorted(movies), dtype=np.int32))


def _tables(ratings: _Ratings, settings: Pairs) -> Iterator[pa.Table]:
    """A table a user, by ascending user."""
    drawn = {user: np.random.default_rng((settings.seed, user)) for user in sorted(ratings.of_user)}
    first = {user: random.random() for user, random in drawn.items()}
    for user in sorted(sorted(first, key=lambda user: (first[user], user))[: settings.users]):
        yield _pairs(user, ratings, settings, drawn[user])


def _pairs(user: int, ratings: _Ratings, settings: Pairs, random: np.random.Generator) -> pa.Table:
    stars = ratings.of_user[user]
    mine = np.array(sorted(stars), dtype=np.int32)
    rated = random.permutation(mine)[: settings.ratings]
    others = np.setdiff1d(ratings.movies, mine, assume_unique=True)
    unrated = random.permutation(others)[: len(rated) * settings.negatives]
    movies = [*np.sort(rated).tolist(), *np.sort(unrated).tolist()]
    values = [stars.get(movie) for movie in movies]
    columns = [
        [f"{user}:{movie}" for movie in movies],
        [user] * len(movies),
        movies,
        [value is not None for value in values],
        values,
    ]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)]
    return pa.table(arrays, schema=SCHEMA)
