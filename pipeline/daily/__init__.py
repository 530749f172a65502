"""Unfolding day by day: each day's events once, vectors at any day's beginning put together from the days.

day_rules.py   what a rule keeps of a day; rules that cannot be put together from days
files.py       which days the files of a source hold, so that only new files are looked at
partials.py    the rows of days -> partial aggregates by (day, entity, rule, value)
runs.py        what was unfolded of which day, and which days have to be unfolded again
days.py        partial aggregates of a window -> associations, as the unfold stage takes them
stage.py       the stage
"""

from pipeline.daily.stage import run

__all__ = ["run"]
