"""Checks of names, globs and instants that users write."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

_MOST_DAYS = 36_500
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def identifier(name: str) -> str:
    """A plain name: letters, digits, underscore; not starting with a digit. Raises ValueError."""
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"{name!r} is not a plain name: use letters, digits and underscores")
    return name


def sql_name(name: str) -> str:
    """A table name of one to three plain parts, `catalog.schema.table`. Raises ValueError."""
    parts = name.split(".")
    if len(parts) > 3 or not all(_IDENTIFIER.fullmatch(part) for part in parts):
        raise ValueError(
            f"{name!r} is not a safe table name: one to three parts of letters, digits and underscores, joined by dots"
        )
    return name


def environment_name(name: Any) -> str:
    """`$NAME`, an environment variable's name. Raises ValueError, which does not repeat what it was given."""
    if not isinstance(name, str) or not name.startswith("$") or not _IDENTIFIER.fullmatch(name[1:]):
        raise ValueError("is to be the name of an environment variable that holds it, such as $SHOP_PASSWORD")
    return name


def glob_pattern(pattern: str) -> str:
    """A glob over concept names, `*` and `?` only. Raises ValueError when it would match everything."""
    if not pattern.strip("*?"):
        raise ValueError(f"the glob {pattern!r} matches every concept")
    return pattern


def instant(text: str) -> str:
    """An ISO date or time, read as UTC, kept as `YYYY-MM-DD HH:MM:SS`. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a date or time such as 2026-03-01 or 2026-03-01T06:00:00") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(sep=" ", timespec="seconds")


def window(text: str) -> str:
    """A number of whole days as `7d`. Raises ValueError."""
    if not re.fullmatch(r"[1-9][0-9]{0,5}d", text, re.ASCII) or days_of(text) > _MOST_DAYS:
        raise ValueError(f"{text!r} is no window: write whole days such as 7d, from 1d to {_MOST_DAYS}d")
    return text


def days_of(window: str) -> int:
    """The days of a window."""
    return int(window.removesuffix("d"))


def time_zone(name: str) -> str:
    """A zone of the IANA database. Raises ValueError."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone such as UTC or Europe/Berlin") from None
    return name


def day(text: str) -> str:
    """A calendar day `YYYY-MM-DD`. Raises ValueError."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"{text!r} is not a day such as 2026-03-01") from None


def date_as_text(value: Any) -> Any:
    """A date or time that YAML has read as such, because nobody put quotes round it, as the text it was."""
    return value.isoformat() if isinstance(value, date) else value
