"""Logits become scores and decisions by the kind of task."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.modelfolder import TaskSpec
from pipeline.score.heads import Heads
from tests.pipeline.score.world import SEGMENTS, TASKS

HEADS = Heads.of(TASKS, {"travel": 0.4})


def test_a_class_is_a_head_of_its_own() -> None:
    assert list(HEADS.names) == SEGMENTS


def test_scores_by_kind() -> None:
    scores = HEADS.scores(np.zeros((2, 4, 3), np.float32))
    assert scores[0].tolist() == pytest.approx([0.5, 1 / 3, 1 / 3, 1 / 3, 0.0, 0.5])


def test_extreme_logits_stay_probabilities() -> None:
    logits = np.full((1, 4, 3), -500, np.float32)
    logits[0, 1] = [500, -500, 0]
    assert HEADS.scores(logits)[0, :4].tolist() == pytest.approx([0, 1, 0, 0])


def test_binary_segments_alone_score_as_they_do_among_others() -> None:
    logits = np.array([[-800, -1.5, 0.25, 40, 2]], np.float32).T.reshape(5, 1, 1)
    among = np.zeros((5, 4, 3), np.float32)
    among[:, 0, 0] = logits[:, 0, 0]
    alone = Heads.of([TaskSpec(name="travel")], {})
    assert alone.scores(logits)[:, 0].tolist() == HEADS.scores(among)[:, 0].tolist()
    assert logits[0, 0, 0] == -800  # as it was given


def test_one_class_is_decided_on_also_when_all_are_alike() -> None:
    decisions, known = HEADS.decisions(HEADS.scores(np.zeros((1, 4, 3), np.float32)))
    assert decisions[0, :4].tolist() == [True, True, False, False]
    assert known.tolist() == [True, True, True, True, False, True]


def test_the_threshold_itself_is_in() -> None:
    heads = Heads.of([TaskSpec(name="travel")], {"travel": 0.4})
    assert heads.decisions(np.array([[0.4], [np.nextafter(0.4, 0)]]))[0].ravel().tolist() == [True, False]


def test_a_segment_without_a_threshold_is_cut_at_one_half() -> None:
    assert HEADS.thresholds[-1] == 0.5
