"""Types of values that are checked where they are read."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from pipeline.config.names import date_as_text, day, glob_pattern, identifier, instant, sql_name, time_zone, window

Name = Annotated[str, AfterValidator(identifier)]
SqlName = Annotated[str, AfterValidator(sql_name)]
Glob = Annotated[str, AfterValidator(glob_pattern)]
Instant = Annotated[str, BeforeValidator(date_as_text), AfterValidator(instant)]
Day = Annotated[str, BeforeValidator(date_as_text), AfterValidator(day)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Window = Annotated[str, AfterValidator(window)]
Zone = Annotated[str, AfterValidator(time_zone)]
