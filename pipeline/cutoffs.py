"""Which cutoff the concept vectors that stand were made at, so that labels are not taken from before it."""

from __future__ import annotations

import json
import os

from pipeline.config.unfolding import Unfold
from pipeline.errors import UserError
from pipeline.layout import Layout

_NAME = "concept_vectors.cutoff"


def write_cutoff(layout: Layout, unfold: Unfold) -> None:
    """Beside the vectors, by whoever writes them."""
    path = layout.tables / _NAME
    temporary = path.with_name(f".{_NAME}.{os.getpid()}")
    temporary.write_text(json.dumps(_facts(unfold)) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def check_cutoff(layout: Layout, unfold: Unfold) -> None:
    """Raises UserError where the vectors were made at another cutoff than `unfold` says: labels would come from within
    the features' window, or from after a gap."""
    path = layout.tables / _NAME
    if not path.is_file():
        return  # vectors that were put there by hand
    made, wanted = json.loads(path.read_text(encoding="utf-8")), _facts(unfold)
    if made != wanted:
        raise UserError(
            f"{layout.tables / 'concept_vectors'}: made at the cutoff {_said(made)}, but the configuration says "
            f"{_said(wanted)}: labels come from the cutoff on; give --set unfold.cutoff as it was, or unfold again"
        )


def _facts(unfold: Unfold) -> dict[str, object]:
    return {"cutoff": unfold.cutoff, "cutoffs": list(unfold.cutoffs)}


def _said(facts: dict[str, object]) -> str:
    return f"{facts['cutoffs']}" if facts["cutoffs"] else f"{facts['cutoff'] or 'none'}"
