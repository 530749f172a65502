"""What the models cost, and by how much ours is above the widest other (MetaCon's Theorem 2) as measured figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.compare.cost import ROWS
from pipeline.compare.markdown import markdown_table

if TYPE_CHECKING:
    from pipeline.compare.table import ModelFacts


def cost_parts(models: Mapping[str, ModelFacts], ours: str) -> list[str]:
    """A paragraph, a table, and a sentence where there is anything to compare ours with."""
    head = [
        "model",
        "parameters",
        "without tables",
        "kFLOP a row",
        "µs a row",
        "MB scoring",
        "MB training",
        "s an epoch",
    ]
    rows = [
        [
            label,
            f"{facts.parameters:,}",
            f"{facts.network_parameters:,}",
            f"{facts.flops_per_row / 1e3:,.0f}",
            f"{facts.row_microseconds:.0f}",
            f"{facts.scoring_bytes / 1e6:.1f}",
            f"{facts.training_bytes / 1e6:.1f}",
            f"{facts.epoch_seconds:.1f}",
        ]
        for label, facts in models.items()
    ]
    said = (
        "Cost. Operations are counted, of a row scored for all segments; µs a row: one thread, as a mapper has it, for "
        f"all segments; MB: the most held beside the parameters while {ROWS} rows are scored, and with their gradients."
    )
    return [said, markdown_table(head, rows), *overhead(models, ours)]


def overhead(models: Mapping[str, ModelFacts], ours: str) -> list[str]:
    """Ours over the other model that has the most parameters without tables."""
    others = {label: facts for label, facts in models.items() if label != ours}
    if not others:
        return []
    widest = max(others, key=lambda label: others[label].network_parameters)
    mine, other = models[ours], others[widest]
    ratios = {
        "parameters without tables": mine.network_parameters / max(1, other.network_parameters),
        "operations a row": mine.flops_per_row / max(1.0, other.flops_per_row),
        "time a row": mine.row_microseconds / max(1e-9, other.row_microseconds),
    }
    told = ", ".join(f"{ratio:.3f} of its {what}" for what, ratio in ratios.items())
    return [f"Overhead of {ours} over the widest other model, {widest}: {told}."]
