"""What a stage counted and how long it took: one JSON file a stage, read by the report."""

from __future__ import annotations

import json
import os
from typing import Any

from pipeline.layout import Layout


def write(layout: Layout, stage: str, facts: dict[str, Any]) -> None:
    """Replace the summary of a stage, atomically."""
    layout.summaries.mkdir(parents=True, exist_ok=True)
    path = layout.summaries / f"{stage}.json"
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(facts, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read(layout: Layout, stage: str) -> dict[str, Any]:
    """The summary of a stage; empty where the stage has not run."""
    path = layout.summaries / f"{stage}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
