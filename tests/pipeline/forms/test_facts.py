"""Facts and triples: what is read of a file, and lines that are none."""

from __future__ import annotations

import pytest

from pipeline.errors import UserError
from pipeline.unfold import run
from tests.pipeline.unfold.helpers import SETTINGS, quarantined, unfolded

GOOD = r"""
% people
person(ann).   % with a comment
person('Bob B.') .
likes(ann, "New York (city), 'the'")
likes( 'Bob B.' ,x-1.5 ).
says(ann, 'it\'s').
likes(ann, été).
vip(ann).
"""
BAD = ["likes(ann).x", "likes(Ann, x).", "likes(ann, b, c).", "likes().", "likes ann b", "likes(ann, '')."]
RULES = [{"name": "likes", "path": "likes"}, {"name": "says", "path": "says"}, {"name": "vip", "path": "vip"}]


@pytest.fixture
def make(tmp_path, make_config):
    def made(text: str | bytes, rules=RULES, entity="person", **sections):
        path = tmp_path / "people.facts"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        facts = {"name": "people", "path": str(path), "entity": entity, "rules": rules}
        return make_config(*SETTINGS, facts=[facts], **sections)

    return made


def test_lines_that_are_no_facts_and_triples_that_are_none_are_set_apart(make, quick, tmp_path):
    (tmp_path / "kb.csv").write_bytes(
        b"head,relation,tail\nann,says,hi\nann,says\nann,says,a,b\nann,,x\nann,says,\xff\n"
    )
    triples = {"path": str(tmp_path / "kb.csv"), "format": "csv", "options": {"header": "true"}}
    text = GOOD.encode() + "\n".join(BAD).encode() + b"\nlikes(ann, \xff).\n"
    config = make(text, knowledge_base=triples)
    assert unfolded(config, quick) == {
        "ann": {
            **{"people.likes=New York (city), 'the'": 1, "people.likes=été": 1, "people.says=it's": 1},
            **{"people.says=hi": 1, "people.vip=true": 1},
        },
        "Bob B.": {"people.likes=x-1.5": 1},
    }
    rows = quarantined(config, quick)
    assert sorted((reason, row["line"]) for source, reason, row in rows if source == "people") == [
        ("the line has a variable: a constant begins with a small letter or stands in quotes", "likes(Ann, x)."),
        ("the line has an empty constant", "likes(ann, '')."),
        ("the line is no fact p(a) or p(a, b)", "likes ann b"),
        ("the line is no fact p(a) or p(a, b)", "likes(ann).x"),
        ("the line is not UTF-8", "likes(ann, \ufffd)."),
        ("the line takes one or two arguments", "likes()."),
        ("the line takes one or two arguments", "likes(ann, b, c)."),
    ]
    assert sorted(reason for source, reason, _ in rows if source == "knowledge_base") == [
        *("malformed csv record", "malformed csv record", "relation is missing", "tail is not UTF-8")
    ]


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("person(ann). likes(ann, x).", {}, "facts people: no fact person.a., which would make a an entity"),
        ("vip(ann).\nlikes(ann, x).", {}, "predicates of one argument: vip"),
        ("person(ann).\nlikes(ann).\nlikes(ann, x).", {}, "likes has one argument in some facts and two in others"),
        (
            "person(ann).\nlikes(ann, x).",
            {},
            "rule says: no relation 'says' in the knowledge base; it has: likes, person",
        ),
        ("person(ann).", {"derive": {"rules": ["r(X) :- q(X)."]}}, "no fact and no rule has q; known: person, r"),
    ],
)
def test_facts_that_do_not_fit_are_refused(make, quick, text, more, message):
    with pytest.raises(UserError, match=message):
        run(make(text, **more))


def test_a_file_that_is_not_there_is_named(make, make_config, quick):
    facts = {"name": "people", "path": "/nowhere/people.facts", "entity": "person", "rules": RULES}
    with pytest.raises(UserError, match=r"no text data at /nowhere/people\.facts"):
        run(make_config(*SETTINGS, facts=[facts]))
