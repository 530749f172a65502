"""The language of meta-paths, parsed: hops by relation, `^` inverse, `/` sequence, `|` alternatives, `{1,3}` repeats.

path      = sequence { "|" sequence }
sequence  = step { "/" step }
step      = [ "^" ] ( relation | "(" path ")" ) [ "{" least [ "," most ] "}" ]
relation  = any characters but / | ^ ( ) { } < >, or any at all between < and >
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

_TOKEN = re.compile(r"\s*(?:(?P<repeat>\{[^{}]*\})|<(?P<quoted>[^<>]+)>|(?P<mark>[/|^()])|(?P<name>[^/|^(){}<>]+))")
_REPEAT = re.compile(r"\{\s*(\d+)\s*(?:,\s*(\d+)\s*)?\}")
_MOST_HOPS = 64
"""Hops of a path with its repeats written out: more would be a plan too large to make."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One edge, followed from head to tail, or back."""

    relation: str
    inverse: bool = False

    def __str__(self) -> str:
        return ("^" if self.inverse else "") + self.relation


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    steps: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """Any of these; paths of each count."""

    choices: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same, from `least` (at least 1) to `most` times."""

    step: Path
    least: int
    most: int


Path = Hop | Sequence | Alternative | Repeat


def parse_path(text: str) -> Path:
    """Raises ValueError that says where the text is no path, and what is expected there."""
    parser = _Parser(text)
    path = parser.alternative()
    parser.end()
    length = _length(path)
    if length > _MOST_HOPS:
        raise ValueError(
            f"path {text!r} has {length} hops with its repeats written out; at most {_MOST_HOPS} are taken"
        )
    return path


def hops_of(path: Path) -> Iterator[Hop]:
    """Every hop that the path names."""
    match path:
        case Hop():
            yield path
        case Sequence(steps=parts) | Alternative(choices=parts):
            for part in parts:
                yield from hops_of(part)
        case Repeat(step=step):
            yield from hops_of(step)


def text_of(path: Path) -> str:
    """The path as `parse_path` reads it."""
    match path:
        case Hop():
            return ("^" if path.inverse else "") + f"<{path.relation}>"
        case Sequence():
            return "/".join(f"({text_of(one)})" if isinstance(one, Alternative) else text_of(one) for one in path.steps)
        case Alternative():
            return "|".join(text_of(choice) for choice in path.choices)
        case Repeat():
            return f"({text_of(path.step)}){{{path.least},{path.most}}}"


def inverted(path: Path) -> Path:
    """The path walked from its end to its start."""
    match path:
        case Hop():
            return Hop(path.relation, not path.inverse)
        case Sequence():
            return Sequence(tuple(inverted(step) for step in reversed(path.steps)))
        case Alternative():
            return Alternative(tuple(inverted(choice) for choice in path.choices))
        case Repeat():
            return Repeat(inverted(path.step), path.least, path.most)


def _length(path: Path) -> int:
    match path:
        case Hop():
            return 1
        case Sequence(steps=parts) | Alternative(choices=parts):
            return sum(_length(part) for part in parts)
        case Repeat():
            return path.most * _length(path.step)


class _Parser:
    """Recursive descent, one method a line of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def alternative(self) -> Path:
        choices = [self._sequence()]
        while self._take("|"):
            choices.append(self._sequence())
        return choices[0] if len(choices) == 1 else Alternative(tuple(choices))

    def end(self) -> None:
        if self._text[self._place :].strip():
            self._fail("`/`, `|` or the end")

    def _sequence(self) -> Path:
        steps = [self._step()]
        while self._take("/"):
            steps.append(self._step())
        return steps[0] if len(steps) == 1 else Sequence(tuple(steps))

    def _step(self) -> Path:
        inverse = self._take("^")
        if self._take("("):
            step = self.alternative()
            if not self._take(")"):
                self._fail("`/`, `|` or `)`")
        else:
            step = self._relation()
        step = inverted(step) if inverse else step
        found = _TOKEN.match(self._text, self._place)
        if found is None or found["repeat"] is None:
            return step
        bounds = _REPEAT.fullmatch(found["repeat"])
        least, most = (int(bounds[1]), int(bounds[2] or bounds[1])) if bounds else (0, 0)
        if not 1 <= least <= most:
            self._fail("a repeat such as {2} or {1,3}, from 1 on and bounded")
        self._place = found.end()
        return Repeat(step, least, most)

    def _relation(self) -> Path:
        found = _TOKEN.match(self._text, self._place)
        name = found and (found["quoted"] or (found["name"] or "").strip())
        if not found or not name:
            self._fail("a relation, `^` or `(`")
        self._place = found.end()
        return Hop(name)

    def _take(self, mark: str) -> bool:
        found = _TOKEN.match(self._text, self._place)
        if found is None or found["mark"] != mark:
            return False
        self._place = found.end()
        return True

    def _fail(self, expected: str) -> NoReturn:
        rest = self._text[self._place :].lstrip()
        place = len(self._text) - len(rest)
        there = repr(rest[:12]) if rest else "the end"
        raise ValueError(f"path {self._text!r}, character {place + 1}: expected {expected}, found {there}")
