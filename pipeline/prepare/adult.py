"""UCI Adult (Census income): the raw records, `adult.data` for training and `adult.test`.

    39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40,
    United-States, <=50K

`?` is a missing value. The original `adult.test` starts with a `|` line and ends its labels with a full stop.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.prepare.events import Adapter, MalformedLine

_NUMBERS = {"age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"}
_FIELDS = [
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship"),
    *("race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income"),
]
_INCOMES = ("<=50K", ">50K")


def parse(line: str) -> dict[str, Any]:
    """The 14 fields and the income of a record. Raises MalformedLine."""
    values = [value.strip() for value in line.split(",")]
    if len(values) != len(_FIELDS):
        raise MalformedLine(f"{len(values)} fields instead of {len(_FIELDS)}")
    record = {name: _value(name, value) for name, value in zip(_FIELDS, values, strict=True)}
    record["income"] = values[-1].removesuffix(".")
    if record["income"] not in _INCOMES:
        raise MalformedLine(f"income is {values[-1]!r}, neither {' nor '.join(_INCOMES)}")
    return record


def _value(name: str, text: str) -> str | int | None:
    if text == "?":
        return None
    if not text:
        raise MalformedLine(f"{name} is empty")
    if name not in _NUMBERS:
        return text
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise MalformedLine(f"{name} is {text!r}, not a whole number")
    return int(text)


ADAPTER = Adapter(
    folder="adult",
    title="the Adult data set (UCI)",
    parts={"adult.data": "train", "adult.test": "test"},
    schema=pa.schema([(name, pa.int64() if name in _NUMBERS else pa.string()) for name in _FIELDS]),
    parse=parse,
    comment="|",
)
