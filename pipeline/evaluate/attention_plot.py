"""Task attention as a heat map whose rows and columns are brought together by what they attend to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage

from pipeline.evaluate.style import data_uri, figure

MOST_TASKS = 120


def attention_plot(names: Sequence[str], attention: NDArray[np.float64]) -> str | None:
    """attention [tasks, tasks]; None where no task loses anything, or fewer than two are left to show.

    The colour is the square root of the loss in nats, so that small ones are seen beside large ones; tasks that neither
    lose nor take anything are left out.
    """
    known = np.nan_to_num(attention)
    off = known - np.diag(np.diag(known))
    weight = np.abs(off).sum(axis=1) + np.abs(off).sum(axis=0)
    chosen = np.sort(np.argsort(-weight, kind="stable")[:MOST_TASKS])
    chosen = chosen[weight[chosen] > 0]
    if len(chosen) < 2:
        return None
    order = chosen[cluster_order(known[np.ix_(chosen, chosen)])]
    shown = known[np.ix_(order, order)]
    shown = np.sign(shown) * np.sqrt(np.abs(shown))
    limit = np.abs(shown).max()
    side = min(11.0, 2.5 + 0.12 * len(order))
    with figure(side, side * 0.92) as (drawn, (axes,)):
        image = axes.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit)
        labels = [names[i] for i in order]
        axes.set_xticks(range(len(order)), labels, rotation=90, fontsize=6)
        axes.set_yticks(range(len(order)), labels, fontsize=6)
        axes.set(xlabel="what this segment masks is hidden …", ylabel="… and this segment loses")
        axes.grid(visible=False)
        drawn.colorbar(image, ax=axes, shrink=0.6, label="√ of the loss of log-likelihood a row, nats")
        return data_uri(drawn)


def cluster_order(attention: NDArray[np.float64]) -> NDArray[np.int64]:
    """The order of tasks by average linkage over what they lose and take, [tasks]."""
    profile = np.concatenate([attention, attention.T], axis=1)
    norms = np.linalg.norm(profile, axis=1, keepdims=True)
    profile = profile / np.where(norms > 0, norms, 1)
    return np.asarray(leaves_list(linkage(profile, "average", optimal_ordering=True)))
