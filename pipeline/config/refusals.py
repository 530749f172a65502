"""What pydantic refuses of a configuration, as lines that say where, what, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.config.schema import Config

_MOST_LINES = 20
"""A mistake in one `for_each` is a mistake in each of its segments."""


@dataclass(slots=True)
class _Place:
    """A location: its keys, the names of the list items on the way, the sections it may be in, the content there."""

    content: Any
    keys: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sections: list[type[BaseModel]] = field(default_factory=lambda: [Config])
    in_text_branch: bool = False
    """Whether this is what a key that takes a text or a section would want of the text."""

    def enter(self, part: int | str) -> None:
        """Goes one part of a pydantic location further."""
        if isinstance(part, int):
            self.keys.append(str(part))
            self.content = self.content[part] if isinstance(self.content, list) and part < len(self.content) else None
            if isinstance(self.content, dict) and isinstance(self.content.get("name"), str):
                self.names.append(self.content["name"])
            return
        fields = [section.model_fields[part] for section in self.sections if part in section.model_fields]
        branch = [section for section in self.sections if section.__name__ == part]
        if not fields and (branch or part == "str"):
            self.sections, self.in_text_branch = branch, part == "str"
            return
        self.keys.append(part)
        self.content = self.content.get(part) if isinstance(self.content, dict) else None
        self.sections = [section for each in fields for section in _sections_of(each.annotation)]


def explain(error: ValidationError, content: dict[str, Any]) -> str:
    """One line a mistake; `content` is what was validated."""
    lines = [line for problem in error.errors() if (line := _line(problem, content))]
    more = len(lines) - _MOST_LINES
    if more > 0:
        lines = [*lines[:_MOST_LINES], f"and {more} more"]
    return "configuration refused:\n  " + "\n  ".join(lines)


def _line(problem: ErrorDetails, content: dict[str, Any]) -> str | None:
    """None for what the same key's other branch tells better: a mapping is not meant to be a text, nor the reverse."""
    place, parent = _Place(content), _Place(content)
    for part in problem["loc"]:
        place.enter(part)
    for part in problem["loc"][:-1]:
        parent.enter(part)
    given = problem.get("input")
    if place.in_text_branch and isinstance(given, dict):
        return None
    where = ".".join(place.keys) or "configuration"
    within = f" (in {place.names[-1]})" if place.names else ""
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key {place.keys[-1]!r}{_nearest(place.keys[-1], parent.sections)}{within}"
    message = problem["msg"].removeprefix("Value error, ")
    plain = isinstance(given, str | int | float | bool | date)
    shown = f" (given: {given!r})" if plain and "jdbc" not in problem["loc"] else ""  # no password is shown
    return f"{where}: {message}{shown}{within}"


def _nearest(key: str, sections: Sequence[type[BaseModel]]) -> str:
    known = [name for section in sections for name in section.model_fields]
    if Config in sections:
        known = ["include", *known]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return f"; did you mean {near[0]!r}? known: {', '.join(known)}" if near else ""


def _sections_of(annotation: Any) -> list[type[BaseModel]]:
    """The sections inside `Section | None`, `list[Section]`, `str | Section`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for argument in get_args(annotation) for section in _sections_of(argument)]
