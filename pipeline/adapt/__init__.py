"""Online adaptation: single segments go on from the meta model on fresh data (MetaCon section 6)."""

from pipeline.adapt.stage import run

__all__ = ["run"]
