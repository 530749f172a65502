"""Chains in a comparison: for each link a table of who keeps to it, and who is near the truth where it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.compare.markdown import markdown_table, spread
from pipeline.evaluate.chains import HEADINGS
from pipeline.evaluate.console import name_of
from pipeline.evaluate.results import MODEL

if TYPE_CHECKING:
    from pipeline.compare.table import ModelFacts

_SAID = (
    "Of the later step over the entire space. Violations: share of rows where it is likelier than the step before; "
    "mean excess: by how much, over all rows. Error: mean absolute, of P(later) against the truth, where known; given "
    "before: of the quotient P(later) / P(before), at most 1, whether the step before happened or not."
)


def chains_of_seeds(links_of_seeds: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, list[float]]]:
    """Link -> metric -> a value a seed, of the model. links_of_seeds: what evaluate told (evaluate/chains.py)."""
    found: dict[str, dict[str, list[float]]] = {}
    for links in links_of_seeds:
        for link in links:
            metrics = found.setdefault(_name(link), {})
            for metric, value in link["of"].get(MODEL, {}).items():
                metrics.setdefault(metric, []).append(float("nan") if value is None else value)
    return found


def references_of(links: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Baseline or oracle -> link -> metric -> value; they do not depend on model or seed."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for link in links:
        for who, metrics in link["of"].items():
            if who != MODEL:
                known = {name: float("nan") if value is None else value for name, value in metrics.items()}
                found.setdefault(who, {})[_name(link)] = known
    return found


def chain_parts(
    models: Mapping[str, ModelFacts], references: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> list[str]:
    """A paragraph and a table a link; nothing without chains."""
    links = list(dict.fromkeys(link for facts in models.values() for link in facts.chains))
    return [_SAID, *(_link_table(link, models, references) for link in links)] if links else []


def _link_table(
    link: str, models: Mapping[str, ModelFacts], references: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> str:
    of_models = {label: facts.chains.get(link, {}) for label, facts in models.items()}
    names = [name for name in HEADINGS if any(name in metrics for metrics in of_models.values())]
    rows = [
        [label, *(spread(metrics[name]) if metrics.get(name) else "" for name in names)]
        for label, metrics in of_models.items()
    ]
    for who, of in references.items():
        metrics = of.get(link, {})
        rows.append([name_of(who), *(f"{metrics[name]:.4f}" if name in metrics else "" for name in names)])
    return markdown_table([link, *(HEADINGS[name] for name in names)], rows)


def _name(link: Mapping[str, Any]) -> str:
    return f"{link['before']} → {link['later']}"
