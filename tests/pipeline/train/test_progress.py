"""The bar of a terminal stands where training does."""

from __future__ import annotations

import io

from pipeline.train import progress
from pipeline.train.progress import ProgressBar


class Terminal(io.StringIO):
    """What tqdm draws on."""

    def isatty(self) -> bool:
        return True


def test_the_bar_stands_at_the_step_that_was_told_however_many_were_taken(monkeypatch) -> None:
    drawn: list[int] = []

    class Bar(progress.tqdm):
        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            drawn.append(self.n)
            return shown

    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "tqdm", Bar)
    bar = ProgressBar(total_steps=100, first_step=7)
    for step in (8, 24, 40):
        bar.advance(step, "loss 0.1")
    bar.close()
    assert drawn == [8, 24, 40]
