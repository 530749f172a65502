"""The simulated funnel: the rates asked for, selection bias, truth beside the data, the same whatever the blocks."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.config import load_config
from pipeline.config.learning import Funnel
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.simulate import run
from pipeline.simulate.funnel import build_funnel, generate_impressions

SIZE = 40_000


def test_rates_are_those_asked_for() -> None:
    shown = generate_impressions(build_funnel(Funnel(click_rate=0.3, conversion_rate=0.1)), 0, SIZE)
    assert shown.propensity.mean() == pytest.approx(0.3, abs=0.01)
    assert shown.if_clicked.mean() == pytest.approx(0.1, abs=0.01)


def test_labels_follow_the_true_probabilities_and_nothing_converts_without_a_click() -> None:
    shown = generate_impressions(build_funnel(Funnel()), 0, SIZE)
    assert not (shown.converted & ~shown.clicked).any()
    likely = shown.propensity > np.median(shown.propensity)
    for part in (likely, ~likely):
        assert shown.clicked[part].mean() == pytest.approx(shown.propensity[part].mean(), abs=0.015)
        expected = (shown.propensity * shown.if_clicked)[part].mean()
        assert shown.converted[part].mean() == pytest.approx(expected, abs=0.01)


def test_those_who_click_would_convert_more_often_and_without_bias_less_so() -> None:
    gaps = []
    for bias in (1.0, 0.0):
        shown = generate_impressions(build_funnel(Funnel(bias=bias)), 0, SIZE)
        gaps.append(shown.if_clicked[shown.clicked].mean() - shown.if_clicked.mean())
    assert gaps[0] > 0.03
    assert abs(gaps[1]) < gaps[0] / 2


def test_impressions_and_truth_stand_beside_each_other(make_config) -> None:
    config = make_config(funnel={"impressions": 700, "block": 256, "users": 50, "items": 20})
    run(config)
    events = Layout.of(config).workdir / "events"
    impressions, truth = (pq.read_table(events / name).to_pandas() for name in ("impressions", "truth"))
    assert impressions.entity_id.tolist() == truth.entity_id.tolist()
    assert len(impressions) == impressions.entity_id.nunique() == 700
    probabilities = np.stack(truth.probabilities)
    np.testing.assert_allclose(probabilities[:, 0], truth.propensity)
    np.testing.assert_allclose(probabilities[:, 1], truth.propensity * truth.if_clicked)
    assert [one["name"] for one in json.loads((events / "oracle.json").read_text())["segments"]] == [
        "click",
        "conversion",
    ]
    run(config)
    again = pq.read_table(events / "impressions").to_pandas()
    assert again.drop(columns="interests").equals(impressions.drop(columns="interests"))
    smaller = make_config(funnel={"impressions": 300, "block": 256, "users": 50, "items": 20})
    run(smaller)
    fewer = pq.read_table(events / "impressions").to_pandas()
    assert fewer.drop(columns="interests").equals(impressions.drop(columns="interests").iloc[:300])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("funnel.click_rate=1", "funnel.click_rate"),
        ("funnel.bias=-1", "funnel.bias"),
        ("simulate={entities: 200}", "simulate and funnel exclude each other"),
    ],
)
def test_what_does_not_fit_is_refused(override: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_config([], ["funnel={impressions: 500}", override])
