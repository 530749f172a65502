"""What was unfolded of which day: the table `daily_runs`; which days are to be unfolded, whether all fit together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pipeline.config import Config
from pipeline.config.names import days_of
from pipeline.daily.day_rules import dated_sources
from pipeline.daily.files import Events
from pipeline.errors import UserError
from pipeline.session import get_session
from pipeline.tables import Tables

TABLE = "daily_runs"
"""day, events and hash (of the day's input, see files.py), rules (fingerprint, see day_rules.py), unfolded_at."""
_SCHEMA = "day date, events long, hash long, rules string, unfolded_at timestamp"


@dataclass(frozen=True, slots=True)
class DayRun:
    """events: what the day had when it was unfolded; rules: the fingerprint of the rules then."""

    events: Events
    rules: str


class Runs:
    """The record of days."""

    def __init__(self, config: Config) -> None:
        self._spark = get_session(config)
        self._tables = Tables(config, self._spark)

    def read(self) -> dict[str, DayRun]:
        if not self._tables.exists(TABLE):
            return {}
        rows = self._tables.read(TABLE).collect()
        return {str(row["day"]): DayRun(Events(row["events"], row["hash"]), row["rules"]) for row in rows}

    def write(self, days: Mapping[str, Events], rules: str) -> None:
        """These days are unfolded. By one transaction."""
        now = datetime.now(UTC)
        rows = [(date.fromisoformat(day), events.rows, events.hash, rules, now) for day, events in days.items()]
        rows_df = self._spark.createDataFrame(rows, _SCHEMA).coalesce(1)
        self._tables.replace_where(TABLE, rows_df, condition(days), [])


def days_to_unfold(
    config: Config,
    known: Mapping[str, Events],
    runs: Mapping[str, DayRun],
    asked: Collection[str] | None,
    of_gone: Collection[str] = (),
) -> tuple[list[str], list[str]]:
    """All days to unfold, ascending, and those of them that are late: unfolded before, and other events now.

    asked: those of --from/--to, unfolded whatever was unfolded before; None: all days with events before the cutoff
    (and not before unfold.start) that never were. of_gone: days that files which are gone had events of. A day that
    lacks events now keeps what it has (raw events need not be kept for ever), unless it is asked for.
    """
    fewer = days_that_lack(known, runs, of_gone)
    late = {day for day, events in known.items() if day in runs and runs[day].events != events} - fewer
    new = [day for day in _within(config, known) if day not in runs] if asked is None else asked
    return sorted({*new, *late}), sorted(late)


def days_that_lack(known: Mapping[str, Events], runs: Mapping[str, DayRun], of_gone: Collection[str] = ()) -> set[str]:
    """The days of which events that were unfolded are not there now: fewer than then, or others, and some of the files
    of then are gone. (More events than then may still lack some: late ones came after a file went.)"""
    found = {day: known.get(day, Events(0, 0)) for day in runs}
    return {
        day
        for day, run in runs.items()
        if found[day].rows < run.events.rows or (day in of_gone and found[day] != run.events)
    }


def settled_days(known: Mapping[str, Events], runs: Mapping[str, DayRun], of_gone: Collection[str]) -> set[str]:
    """Of the days of files that are gone those that lost nothing by it: their events stand in other files, or were
    never unfolded."""
    return {day for day in of_gone if day not in runs or known.get(day, Events(0, 0)) == runs[day].events}


def days_of_window(config: Config, known: Mapping[str, Events], runs: Mapping[str, DayRun]) -> list[str]:
    """The days that vectors at the cutoff are put together from."""
    return _within(config, {*known, *(day for day, run in runs.items() if run.events.rows)}, furthest_window(config))


def check_days(
    needed: Sequence[str], known: Mapping[str, Events], runs: Mapping[str, DayRun], todo: Sequence[str], rules: str
) -> None:
    """Raises UserError where a day of the window is not unfolded, or by other rules, and will not be now."""
    rest = [day for day in needed if day not in todo]
    missing = [day for day in rest if day not in runs and day in known]
    if missing:
        raise UserError(
            f"{_listed(missing)} not unfolded yet, but in the window of the cutoff; unfold them with "
            f"--from {missing[0]} --to {missing[-1]}"
        )
    other = [day for day in rest if runs[day].rules != rules]
    if other:
        raise UserError(
            f"{_listed(other)} unfolded by other rules, or with another knowledge base, than there are now; backfill: "
            f"--from {other[0]} --to {other[-1]}"
        )


def span(first: str, last: str) -> list[str]:
    """Every day from the first to the last. Raises UserError for what is no day, and where there is none."""
    try:
        begin, end = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError as error:
        raise UserError(f"--from {first} --to {last}: {error}; write days such as 2026-03-01") from None
    if begin > end:
        raise UserError(f"--from {first} is after --to {last}")
    return [(begin + timedelta(days=n)).isoformat() for n in range((end - begin).days + 1)]


def chunks(days: Sequence[str], size: int) -> list[Sequence[str]]:
    return [days[start : start + size] for start in range(0, len(days), size)]


def condition(days: Iterable[str]) -> str:
    """SQL: the rows of these days."""
    return "day IN ({})".format(", ".join(f"date '{day}'" for day in sorted(days)))


def check_boundaries(config: Config) -> None:
    """Raises UserError where a window does not begin and end with a day."""
    if config.unfold.cutoffs:
        raise UserError("unfold.cutoffs: days are put together at one cutoff; use the unfold stage for several")
    for name in ("start", "cutoff"):
        instant = getattr(config.unfold, name)
        if instant is not None and not instant.endswith(" 00:00:00"):
            raise UserError(
                f"unfold.{name} {instant} is not the beginning of a day (UTC), so no days make up the window"
            )


def furthest_window(config: Config) -> int | None:
    """The days that the longest window reaches back; None where a rule has none."""
    rules = [rule for source in dated_sources(config) for rule in source.rules]
    if any(not rule.windows for rule in rules):
        return None
    return max(days_of(window) for rule in rules for window in rule.windows)


def _within(config: Config, days: Iterable[str], furthest: int | None = None) -> list[str]:
    """Those of [start, cutoff), and at most so many days before the cutoff."""
    start, cutoff = config.unfold.start, str(config.unfold.cutoff)[:10]
    first = start[:10] if start else "0001-01-01"
    if furthest is not None:
        first = max(first, (date.fromisoformat(cutoff) - timedelta(days=furthest)).isoformat())
    return sorted(day for day in days if first <= day < cutoff)


def _listed(days: Sequence[str]) -> str:
    if len(days) == 1:
        return f"day {days[0]} is"
    return f"{len(days)} days from {days[0]} to {days[-1]} are"
