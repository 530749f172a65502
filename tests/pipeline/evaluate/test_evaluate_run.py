"""The stage from shards and model to the report."""

from __future__ import annotations

import contextlib
import csv
import html.parser
import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import summary
from pipeline.config import load_config
from pipeline.errors import UserError
from pipeline.evaluate import run
from pipeline.experiment_table import read_results
from pipeline.layout import Layout
from tests.pipeline.evaluate.world import TASKS, write_untrained_model, write_world
from tests.pipeline.train import worlds

ORACLE = "evaluate.oracle='{workdir}/events/truth'"
PUBLISHED = "evaluate.published={a paper: {auc: 0.71, accuracy: 0.5}}"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, str]:
    """A run that has been evaluated, and what was written to the terminal."""
    workdir = tmp_path_factory.mktemp("evaluated")
    config = load_config([], [f"run.workdir={workdir}", "run.name=small", ORACLE, PUBLISHED])
    layout = Layout.of(config)
    write_world(workdir)
    summary.write(layout, "score", SCORED)
    summary.write(layout, "unfold", UNFOLDED)
    summary.write(layout, "profile", PROFILE)
    summary.write(layout, "align", ALIGNED)
    summary.write(layout, "timings", {"unfold": 12.3, "align": 4.5})
    with contextlib.redirect_stdout(io.StringIO()) as terminal:
        run(config)
    return layout, terminal.getvalue()


SCORED = {
    "entities": 1000,
    "rows": 4000,
    "reach": {"travel": {"scored": 1000, "selected": 123, "mean_score": 0.2}},
    "unscorable": {"a concept id is null": 7},
}
UNFOLDED = {
    "entities": 1000,
    "vocabulary_size": 40,
    "sources": {
        "<b>clicks</b>": {
            "rows": 900,
            "feature_rows": 800,
            "entities": 100,
            "first": "2026-01-01 00:00:00",
            "last": None,
            "rows_by_day": {"2026-01-01": 400, "2026-01-02": 500},
            "quarantined": {"no time": 3},
            "missing_rows": {"item": 200},
            "entities_by_day": {"2026-01-01": 90, "2026-01-02": 80},
        }
    },
    "fields": {"events.item": {"entities": 10, "pairs": 20, "concepts": 5, "kept": 4}},
}
PROFILE = {
    "days_a_span": 1,
    "periods": ["2026-01-01", "2026-01-02"],
    "concepts_by_day": {
        "<b>clicks</b>.item": {
            "2026-01-01": {"seen": 3, "new": 3, "new_kept": 2},
            "2026-01-02": {"seen": 4, "new": 2, "new_kept": 2},
        }
    },
    "drift": {
        "<b>clicks</b>.item": {"psi": 0.05, "noise": 0.01, "by_period": [0.0, 0.05], "rows": 800, "top_share": 0.9},
        "<b>clicks</b>.page": {"psi": 0.3, "noise": 0.01, "by_period": [0.0, 0.3], "rows": 700, "top_share": 1.0}
        | {"psi_since_last": 0.125},
        "<b>clicks</b>.still": {"psi": None, "noise": None, "by_period": [], "rows": 5, "top_share": 1.0},
    },
}
ALIGNED = {"rows": {"support": 400}, "masked": {"own": 1}, "left_out": {"empty": "no positives"}}


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def page_of(layout: Layout) -> Page:
    return Page((layout.report / "report.html").read_text(encoding="utf-8"))


def test_the_report_needs_nothing_but_itself(evaluated: tuple[Layout, str]) -> None:
    page = page_of(evaluated[0])
    sources = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert sources
    assert all(value.startswith(("data:", "#")) for value in sources)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    text = (evaluated[0].report / "report.html").read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text


def test_every_segment_stands_in_the_report(evaluated: tuple[Layout, str]) -> None:
    words = page_of(evaluated[0]).words
    for task in TASKS:
        assert task.name in words
    assert "123" in words
    assert "12.3 %" in words


def test_every_part_of_the_report_is_drawn(evaluated: tuple[Layout, str]) -> None:
    page = page_of(evaluated[0])
    parts = {value for name, value in page.attributes if name == "id"}
    assert parts == {
        "groups",
        "segments",
        "curves",
        "calibration",
        "gates",
        "attention",
        "training",
        "data",
        "timings",
    } | {"drift"}
    assert page.tags.count("img") == 13
    for words in ("a paper", "0.7100", "no time", "cannot be scored: a concept id is null", "empty"):
        assert words in page.words


def test_fields_stand_in_the_order_of_their_drift_with_its_band(evaluated: tuple[Layout, str]) -> None:
    words = page_of(evaluated[0]).words
    place = words.index("<b>clicks</b>.page")
    assert words[place + 1 : place + 7] == ["shifted", "0.300", "0.010", "0.125", "100 %", "700"]
    assert words[words.index("<b>clicks</b>.item", place) + 1] == "stable"
    assert "<b>clicks</b>.still" not in words
    assert words.count("25 %") >= 1  # 200 of 800 rows have no item


def test_a_browser_shows_it_as_a_page_with_pictures(evaluated: tuple[Layout, str], tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium or Chrome to render the report with")
    picture = tmp_path / "report.png"
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    plain = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", *quiet]
    where = [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}", "--window-size=1280,4000"]
    report = (evaluated[0].report / "report.html").absolute().as_uri()
    subprocess.run([browser, *plain, *where, report], check=True, capture_output=True)
    grey = np.asarray(Image.open(picture).convert("L"), dtype=int)
    dark_rows = (grey < 200).any(axis=1)
    assert grey.shape == (4000, 1280)
    assert 0.02 < (grey < 200).mean() < 0.4, "blank, or drawn over"
    assert dark_rows[:3000].mean() > 0.3, "large parts of the page show nothing"
    coloured = np.ptp(np.asarray(Image.open(picture).convert("RGB"), dtype=int), axis=2) > 60
    assert coloured[1200:].mean() > 0.002, "the figures are not there"


def test_names_are_escaped(evaluated: tuple[Layout, str]) -> None:
    page = page_of(evaluated[0])
    assert "<b>clicks</b>" in page.words
    assert (evaluated[0].report / "report.html").read_text(encoding="utf-8").count("<b>clicks") == 0


def test_figures_as_json_and_csv(evaluated: tuple[Layout, str]) -> None:
    layout = evaluated[0]
    facts = json.loads((layout.report / "metrics.json").read_text(encoding="utf-8"))
    niche = facts["groups"]["niche"]
    assert set(niche) >= {"model", "logistic_regression", "lightgbm", "oracle", "gap_closed", "best_baseline"}
    assert niche["oracle"]["auc"] > niche["logistic_regression"]["auc"] > 0.7
    with (layout.report / "segments.csv").open(encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert set(rows) == {task.name for task in TASKS}
    assert float(rows["rare"]["logistic_regression_auc"]) == pytest.approx(niche["logistic_regression"]["auc"])
    assert rows["travel"]["selected"] == "123"
    assert rows["spend"]["model_auc"] == ""
    assert float(rows["spend"]["model_r2"]) < 1


def test_the_terminal_shows_the_comparison(evaluated: tuple[Layout, str]) -> None:
    text = evaluated[1]
    assert "segments" in text
    assert "of the gap from the best baseline" in text
    assert "sign test p =" in text
    assert "a paper" in text


def test_the_experiment_reads_the_binary_segments(evaluated: tuple[Layout, str]) -> None:
    results = read_results(evaluated[0])
    assert [one.segment for one in results] == ["travel", "rare"]
    assert set(results[0].references) == {"logistic_regression", "lightgbm", "oracle"}


def test_another_model_is_measured_without_fitting_again(evaluated, make_config, monkeypatch) -> None:
    before = read_results(evaluated[0])
    config = make_config(ORACLE)
    layout = Layout.of(config)
    shutil.copytree(evaluated[0].workdir, layout.workdir)
    folder = layout.shards / (layout.shards / "CURRENT").read_text().strip()
    write_untrained_model(layout.workdir, folder, seed=1)
    monkeypatch.setattr("pipeline.evaluate.stage.fit_baselines", None)
    run(config)
    after = read_results(layout)
    assert [one.references for one in after] == [one.references for one in before]
    assert [one.model for one in after] != [one.model for one in before]


def test_without_oracle_baselines_scores_and_log_there_is_a_report(make_config) -> None:
    config = make_config("evaluate.baselines=[]")
    layout = Layout.of(config)
    write_world(layout.workdir)
    layout.train_log.unlink()
    run(config)
    parts = {value for name, value in page_of(layout).attributes if name == "id"}
    assert parts == {"groups", "segments", "curves", "calibration", "gates", "attention", "data"}


@pytest.mark.parametrize("tasks", [TASKS[2:], TASKS[:1]], ids=["no binary segment", "one segment"])
def test_any_mixture_of_kinds_can_be_reported(make_config, tasks) -> None:
    config = make_config()
    layout = Layout.of(config)
    write_world(layout.workdir, tasks)
    run(config)
    for task in tasks:
        assert task.name in page_of(layout).words


def test_no_shards_no_model_and_foreign_models_are_named(make_config, tmp_path: Path) -> None:
    config = make_config()
    layout = Layout.of(config)
    with pytest.raises(UserError, match="run the align stage"):
        run(config)
    folder = write_world(layout.workdir)
    other = write_world(tmp_path / "other", TASKS[:2])
    write_untrained_model(layout.workdir, other)
    with pytest.raises(UserError, match="not those of the model"):
        run(config)
    write_untrained_model(layout.workdir, folder, vocabulary_hash="f" * 32)
    with pytest.raises(UserError, match="vocabulary"):
        run(config)


def test_truth_that_is_missing_or_of_other_entities_is_named(make_config) -> None:
    config = make_config(ORACLE, "evaluate.baselines=[]")
    layout = Layout.of(config)
    write_world(layout.workdir)
    (layout.workdir / "events" / "oracle.json").unlink()
    with pytest.raises(UserError, match=r"oracle\.json"):
        run(config)
    (layout.workdir / "events" / "oracle.json").write_text('{"segments": [{"name": "travel"}]}')
    with pytest.raises(UserError, match="1 probabilities each"):
        run(config)


def test_an_empty_query_split_is_refused(tmp_path: Path) -> None:
    folder = worlds.write_world(tmp_path, rows={"support": 64, "validation": 32, "query": 0})
    write_untrained_model(tmp_path, folder)
    with pytest.raises(UserError, match=r"no row in the query split; look at align\.split"):
        run(load_config([], [f"run.workdir={tmp_path}"]))
