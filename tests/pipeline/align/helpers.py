"""Segments and rows for the tests of the align stage."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame

from pipeline.config.segments import Label, Segment


def make_segment(name: str, expression: str = "true", **changes: Any) -> Segment:
    """A binary segment over the source `events`, unless changed; aggregate and table belong to its label."""
    label: dict[str, Any] = {"source": "events", "expression": expression}
    if "table" in changes:
        label = {"table": changes.pop("table"), "segment": changes.pop("table_segment", None)}
    if "aggregate" in changes:
        label["aggregate"] = changes.pop("aggregate")
    return Segment(name=name, label=Label(**label), **changes)


def hits_by_entity(hits_df: DataFrame, column: str = "hits") -> dict[str, dict[int, Any]]:
    """Entity -> task -> label (or reason, of the column `bad`)."""
    found: dict[str, dict[int, Any]] = {}
    for row in hits_df.select("entity_id", column).collect():
        found.setdefault(row["entity_id"], {}).update({one[0]: one[1] for one in row[column]})
    return found
