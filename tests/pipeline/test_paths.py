"""The language of meta-paths."""

import re

import pytest

from pipeline.config.paths import Alternative, Hop, Repeat, Sequence, hops_of, inverted, parse_path

A, B, C = Hop("a"), Hop("b"), Hop("c")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", A),
        (" made by / ^film.actor ", Sequence((Hop("made by"), Hop("film.actor", inverse=True)))),
        ("a|b/c", Alternative((A, Sequence((B, C))))),
        ("(a|b)/c", Sequence((Alternative((A, B)), C))),
        ("a{1,3}", Repeat(A, 1, 3)),
        ("(a/b){2}", Repeat(Sequence((A, B)), 2, 2)),
        ("^(a/^b)", Sequence((B, Hop("a", inverse=True)))),
        ("^a{2}", Repeat(Hop("a", inverse=True), 2, 2)),
        ("</odd|name>/b", Sequence((Hop("/odd|name"), B))),
    ],
)
def test_a_path_is_read_as(text, path):
    assert parse_path(text) == path


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("", 1, "a relation"),
        ("a//b", 3, "a relation"),
        ("a|", 3, "a relation"),
        ("(a/b", 5, "`)`"),
        ("a)", 2, "the end"),
        ("a/b{0,2}", 4, "from 1 on"),
        ("a{2,}", 2, "bounded"),
        ("a{3,1}", 2, "a repeat"),
        ("a^b", 2, "`/`, `|` or the end"),
        ("<a", 1, "a relation"),
    ],
)
def test_what_is_no_path_says_where_and_what_is_expected(text, place, expected):
    with pytest.raises(ValueError, match=f"character {place}: expected .*{re.escape(expected)}"):
        parse_path(text)


def test_a_path_too_long_to_plan_is_refused():
    with pytest.raises(ValueError, match="900 hops"):
        parse_path("(a{30}){30}")


def test_inverting_twice_gives_the_path_back():
    path = parse_path("(a|b/^c){1,2}/d")
    assert inverted(inverted(path)) == path
    assert [str(hop) for hop in hops_of(path)] == ["a", "b", "^c", "d"]
