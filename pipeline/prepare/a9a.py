"""LIBSVM a9a: Adult as 123 yes/no features, `a9a` for training and `a9a.t` for testing.

-1 3:1 11:1 14:1 19:1 39:1 42:1 55:1 64:1 67:1 73:1 75:1 76:1 80:1 83:1
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.prepare.events import Adapter, MalformedLine

FEATURES = 123


def parse(line: str) -> dict[str, Any]:
    """The label (1 or -1) and the ids of the features that are 1, ascending. Raises MalformedLine."""
    label, *pairs = line.split()
    if label not in ("+1", "1", "-1"):
        raise MalformedLine(f"the label is {label!r}, neither +1 nor -1")
    features: list[int] = []
    last = 0
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not (colon and name.isascii() and name.isdigit()):
            raise MalformedLine(f"{pair!r} is not feature:value")
        if not last < int(name) <= FEATURES:
            raise MalformedLine(f"feature {name} is out of order or outside 1..{FEATURES}")
        if value not in ("0", "1"):
            raise MalformedLine(f"feature {name} is {value!r}, neither 0 nor 1")
        last = int(name)
        if value == "1":
            features.append(last)
    return {"features": features, "label": int(label)}


ADAPTER = Adapter(
    folder="a9a",
    title="a9a (LIBSVM data sets)",
    parts={"a9a": "train", "a9a.t": "test"},
    schema=pa.schema([("features", pa.list_(pa.int32())), ("label", pa.int32())]),
    parse=parse,
)
