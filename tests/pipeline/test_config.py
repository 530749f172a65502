"""Configuration: what is read, what is refused, and with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.registry import MODELS, check_settings
from pipeline.compare.contenders import as_configured
from pipeline.config import Config, load_config, to_yaml
from pipeline.errors import UserError
from pipeline.tune.space import corners, overlay, space_of


def write(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


def refusal(*overrides: str, **sections: object) -> str:
    """The message with which a configuration is refused."""
    written = [f"{section}={yaml.safe_dump(content, default_flow_style=True)}" for section, content in sections.items()]
    with pytest.raises(UserError) as caught:
        load_config([], [*written, *overrides])
    return str(caught.value)


CONF = Path(__file__).parents[2] / "conf"
MODEL_FILES = sorted(Path(__file__).parents[2].glob("conf/models/*.yaml"))
SOURCE = {"name": "views", "path": "{data}/views", "entity": "user"}
LABEL = {"source": "views", "expression": "category = 'sport'"}


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("conf/*.yaml")), ids=lambda path: path.name)
def test_every_run_of_the_project_has_a_valid_configuration(path: Path) -> None:
    config = load_config([path])
    assert config.segments
    assert config.run.workdir == f"out/{path.stem}", "the Makefile looks for the report there"


@pytest.mark.parametrize("path", sorted(CONF.glob("cluster/*.yaml")), ids=lambda path: path.name)
def test_every_cluster_profile_goes_with_a_run_and_leaves_the_master_to_spark_submit(path: Path) -> None:
    config = load_config([path, CONF / "demo.yaml"])
    assert config.spark.master is None
    assert config.spark.settings
    assert config.segments


@pytest.mark.parametrize("path", sorted(CONF.glob("compare/*.yaml")), ids=lambda path: path.name)
def test_every_comparison_of_the_project_can_be_run_and_tuned(path: Path) -> None:
    config = load_config([CONF / "tune" / "spaces.yaml", path])
    for label, contender in config.compare.models.items():
        as_configured(config, label, contender)
        for values in corners(space_of(config.tune, contender.model.name)):
            as_configured(config, label, contender.with_values(overlay(values)))


def defaults_of(kind: type) -> dict[str, Any]:
    """Default values of keyword arguments; a class's own before those of the class above."""
    constructors = [vars(one)["__init__"] for one in reversed(kind.__mro__) if "__init__" in vars(one)]
    return {name: value for one in constructors for name, value in (getattr(one, "__kwdefaults__", None) or {}).items()}


@pytest.mark.parametrize("path", MODEL_FILES, ids=lambda path: path.name)
def test_every_model_of_the_project_has_a_file_with_the_sizes_that_are_its_defaults(path: Path) -> None:
    """metaaug_small says how it differs."""
    model = load_config([path]).model
    check_settings(model.name, model.settings)
    if path.stem != "metaaug_small":
        defaults = defaults_of(MODELS[model.name])
        assert {key: tuple(value) if isinstance(value, list) else value for key, value in model.settings.items()} == {
            key: defaults[key] for key in model.settings
        }


def test_every_model_has_a_file() -> None:
    assert {load_config([path]).model.name for path in MODEL_FILES} == set(MODELS)


CLICK = {"name": "click", "label": LABEL}
CONVERSION = {"name": "conversion", "label": LABEL}
SORT = {"name": "sort", "kind": "multiclass", "classes": ["a", "b"], "label": {**LABEL, "aggregate": "max"}}


class TestChains:
    def test_are_segments_in_order(self, make_config) -> None:
        config = make_config(sources=[SOURCE], segments=[CLICK, CONVERSION], chains=[["click", "conversion"]])
        assert config.chains == [["click", "conversion"]]

    @pytest.mark.parametrize(
        ("chains", "words"),
        [
            ([["click", "convresion"]], "chains: 'convresion' is no segment; did you mean 'conversion'?"),
            ([["click"]], "chains: ['click'] has fewer than two segments"),
            ([["click", "conversion"], ["conversion", "click"]], "chains: 'click' is named twice"),
            ([["click", "sort"]], "chains: segment sort is multiclass; chains are of binary segments"),
        ],
    )
    def test_that_make_no_sense_are_refused(self, chains: object, words: str) -> None:
        assert words in refusal(sources=[SOURCE], segments=[CLICK, CONVERSION, SORT], chains=chains)


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("override", "words"),
        [
            ("train.epoch=3", "train.epoch: unknown key 'epoch'; did you mean 'epochs'?"),
            ("trian.epochs=3", "trian: unknown key 'trian'; did you mean 'train'?"),
            (
                "unfold.vocabulary.min_entites=2",
                "unfold.vocabulary.min_entites: unknown key 'min_entites'; did you mean",
            ),
            ("inclde=other.yaml", "inclde: unknown key 'inclde'; did you mean 'include'?"),
        ],
    )
    def test_are_refused_with_the_nearest_known_key(self, override: str, words: str) -> None:
        assert words in refusal(override)

    def test_are_refused_inside_lists_with_their_place(self) -> None:
        message = refusal(sources=[{**SOURCE, "rules": [{"name": "a", "kind": "field", "colunm": "x"}]}])
        assert "sources.0.rules.0.colunm: unknown key 'colunm'; did you mean 'column'?" in message

    def test_in_what_for_each_makes_name_the_segment(self) -> None:
        each = {**CLICK, "name": "in_{city}", "labl": 1, "for_each": {"city": ["Oslo", "Bergen"]}}
        message = refusal(sources=[SOURCE], segments=[each])
        assert "segments.1.labl: unknown key 'labl'; did you mean 'label'?" in message
        assert "(in in_Bergen)" in message

    def test_beyond_twenty_are_counted(self) -> None:
        each = {**CLICK, "name": "s{i}", "labl": 1, "for_each": {"i": list(range(30))}}
        lines = refusal(sources=[SOURCE], segments=[each]).splitlines()
        assert len(lines) == 22
        assert lines[-1].strip() == "and 10 more"

    def test_of_a_mapping_where_a_text_may_stand_too_are_told_of_the_mapping_alone(self) -> None:
        segment = {**CLICK, "sample_space": {"sorce": "visits", "condition": "true"}}
        message = refusal(sources=[SOURCE], segments=[segment])
        assert "segments.0.sample_space.sorce: unknown key 'sorce'; did you mean 'source'?" in message
        assert "valid string" not in message

    def test_are_all_named_at_once(self) -> None:
        message = refusal("train.epoch=3", "scroe.run_id=a")
        assert "'epoch'" in message
        assert "'scroe'" in message


class TestWrongValues:
    @pytest.mark.parametrize(
        ("override", "words"),
        [
            ("train.epochs=many", "train.epochs: Input should be a valid integer"),
            ("train.epochs=1.5", "train.epochs: Input should be a valid integer"),
            ("train.batch_size=0", "train.batch_size: Input should be greater than or equal to 1 (given: 0)"),
            ("train.launcher=mpi", "train.launcher: Input should be 'process', 'horovodrun' or 'spark'"),
            ("segments=5", "segments: Input should be a valid list (given: 5)"),
            ("unfold.cutoff=soon", "unfold.cutoff: 'soon' is not a date or time"),
            ("score.run_date=1 March", "score.run_date: '1 March' is not a day such as 2026-03-01"),
            ("run.name=a/b", "run.name: 'a/b' is not a plain name"),
            ("run.workdir=out/{nmae}", "run.workdir: 'out/{nmae}' may hold {name} and no other"),
        ],
    )
    def test_are_refused_with_key_and_value(self, override: str, words: str) -> None:
        assert words in refusal(override)

    @pytest.mark.parametrize("name", ["predictions; drop table x", "a b", "`p`", "../p", "a.b.c.d", "p-1", ""])
    def test_table_names_with_unsafe_characters_are_refused(self, name: str) -> None:
        message = refusal(score={"table": name})
        assert "score.table" in message
        assert "is not a safe table name" in message

    def test_table_names_of_up_to_three_parts_are_fine(self) -> None:
        for name in ("predictions", "marketing.predictions", "lake.marketing.predictions_2"):
            assert load_config([], [f"score.table={name}"]).score.table == name

    @pytest.mark.parametrize("glob", ["*", "**", "?*"])
    def test_globs_that_match_every_concept_are_refused(self, glob: str) -> None:
        message = refusal(sources=[SOURCE], segments=[{"name": "s", "label": LABEL, "mask": [glob]}])
        assert "segments.0.mask.0" in message
        assert "matches every concept" in message

    def test_rules_say_what_they_lack(self) -> None:
        for rule, words in (
            ({"kind": "field"}, "needs a column"),
            ({"kind": "path", "column": "item"}, "needs a path"),
            ({"kind": "field", "column": "x", "aggregate": "decay"}, "needs a half_life"),
        ):
            assert words in refusal(sources=[{**SOURCE, "rules": [{"name": "r", **rule}]}])

    def test_labels_have_exactly_one_origin(self) -> None:
        for label in ({}, {"table": "t", **LABEL}, {"expression": "x = 1"}):
            assert "label" in refusal(sources=[SOURCE], segments=[{"name": "s", "label": label}])


class TestNames:
    def test_two_segments_of_one_name_are_refused(self) -> None:
        segment = {"name": "sporty", "label": LABEL}
        assert "duplicate segment name: sporty" in refusal(sources=[SOURCE], segments=[segment, segment])

    def test_two_segments_made_alike_by_for_each_are_refused(self) -> None:
        segment = {"name": "sporty", "label": LABEL, "for_each": {"value": ["a", "b"]}}
        assert "duplicate segment name: sporty" in refusal(sources=[SOURCE], segments=[segment])

    def test_two_sources_of_one_name_are_refused(self) -> None:
        assert "duplicate source name: views" in refusal(sources=[SOURCE, SOURCE])

    def test_a_label_of_an_undeclared_source_names_the_declared_ones(self) -> None:
        label = {"source": "vews", "expression": "true"}
        message = refusal(sources=[SOURCE], segments=[{"name": "s", "label": label}])
        assert "segment s: label source 'vews' is not declared; declared: views" in message


class TestFiles:
    def test_later_files_and_overrides_win_key_by_key(self, tmp_path: Path) -> None:
        first = write(tmp_path, "first.yaml", {"train": {"epochs": 3, "seed": 1}, "run": {"name": "first"}})
        second = write(tmp_path, "second.yaml", {"train": {"seed": 2}})
        config = load_config([first, second], ["run.name=third"])
        assert (config.train.epochs, config.train.seed, config.run.name) == (3, 2, "third")

    def test_included_files_stand_below_the_file_that_names_them(self, tmp_path: Path) -> None:
        (tmp_path / "models").mkdir()
        write(tmp_path, "models/small.yaml", {"model": {"settings": {"experts": 3}}, "train": {"epochs": 2}})
        top = write(tmp_path, "top.yaml", {"include": ["models/small.yaml"], "train": {"epochs": 9}})
        config = load_config([top])
        assert config.model.settings == {"experts": 3}
        assert config.train.epochs == 9

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("include: itself.yaml", "includes itself"),
            ("include: {a: b}", "a list of texts is wanted"),
            ("include: absent.yaml", "absent.yaml: no such configuration file"),
            ("- a", "a configuration is a mapping of sections, not a list"),
            ("a: [", "cannot be read as YAML"),
            ("run: !!python/object/apply:os.getcwd []", "cannot be read as YAML"),
        ],
    )
    def test_a_bad_file_is_named(self, tmp_path: Path, content: str, words: str) -> None:
        path = write(tmp_path, "itself.yaml", content)
        with pytest.raises(UserError, match=r"itself\.yaml|absent\.yaml") as caught:
            load_config([path])
        assert words in str(caught.value)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"nowhere\.yaml: no such configuration file"):
            load_config([tmp_path / "nowhere.yaml"])

    def test_empty_files_and_sections_mean_the_defaults(self, tmp_path: Path) -> None:
        assert load_config([write(tmp_path, "a.yaml", "")]) == load_config([])
        assert load_config([write(tmp_path, "b.yaml", "train:\nsegments:\n")]) == load_config([])

    def test_dates_need_no_quotes(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.yaml", "unfold: {cutoff: 2026-03-01}\nscore: {run_date: 2026-03-02}")
        config = load_config([path], ["unfold.start=2026-02-01T06:30:00+02:00"])
        assert config.unfold.cutoff == "2026-03-01 00:00:00"
        assert config.unfold.start == "2026-02-01 04:30:00"
        assert config.score.run_date == "2026-03-02"


class TestOverrides:
    def test_values_are_yaml(self) -> None:
        config = load_config([], ["train.learning_rate=1e-3", "train.clip_norm=null", "run.workdir=/tmp/a b"])
        assert (config.train.learning_rate, config.train.clip_norm, config.run.workdir) == (1e-3, None, "/tmp/a b")

    @pytest.mark.parametrize("text", ["train.epochs", "=3", "train..epochs=3", "train.epochs=["])
    def test_that_cannot_be_read_are_refused(self, text: str) -> None:
        with pytest.raises(UserError, match="--set"):
            load_config([], [text])


class TestForEach:
    def test_makes_a_segment_of_each_combination(self) -> None:
        segment = {
            "name": "{age}_{sex}",
            "label": {"source": "views", "expression": "age = '{age}' AND sex = '{sex}'"},
            "mask": ["profile.age=*"],
            "own": ["profile.age={age}"],
            "for_each": {"age": [18, "25-34"], "sex": ["f", "m"]},
        }
        config = load_config([], [f"sources={[SOURCE]}", f"segments={[segment]}"])
        assert [one.name for one in config.segments] == ["18_f", "18_m", "25-34_f", "25-34_m"]
        assert config.segments[2].label.expression == "age = '25-34' AND sex = 'f'"
        assert config.segments[2].own == ["profile.age=25-34"]

    @pytest.mark.parametrize("values", [[True], [None], {"a": "b"}, [["a"]]])
    def test_takes_texts_only(self, values: object) -> None:
        segment = {"name": "s{v}", "label": LABEL, "for_each": {"v": values}}
        assert "segment s{v}: for_each.v: a list of texts is wanted" in refusal(sources=[SOURCE], segments=[segment])


texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)  # no control characters
plain_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
configs = st.fixed_dictionaries(
    {},
    optional={
        "run": st.fixed_dictionaries({}, optional={"name": plain_names, "data": texts}),
        "sources": st.lists(
            st.fixed_dictionaries(
                {"name": plain_names, "path": texts, "entity": texts},
                optional={
                    "where": st.none() | texts,
                    "options": st.dictionaries(texts, texts, max_size=2),
                    "time_unit": st.sampled_from(["timestamp", "seconds", "milliseconds"]),
                },
            ),
            max_size=2,
            unique_by=lambda source: source["name"],
        ),
        "unfold": st.fixed_dictionaries(
            {}, optional={"cutoff": st.none() | st.datetimes().map(str), "horizon_days": st.floats(1e-9, 1e9)}
        ),
        "model": st.fixed_dictionaries(
            {}, optional={"settings": st.dictionaries(texts, st.integers() | st.booleans() | texts, max_size=3)}
        ),
        "train": st.fixed_dictionaries(
            {}, optional={"learning_rate": st.floats(1e-30, 1e30), "epochs": st.integers(0, 10**9)}
        ),
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=configs)
def test_what_print_config_shows_reads_back_as_the_same(tmp_path: Path, content: dict[str, object]) -> None:
    config = Config.model_validate(content)
    config = config.model_copy(update={"run": config.run.model_copy(update={"workdir": "out/there"})})
    assert load_config([write(tmp_path, "shown.yaml", to_yaml(config))]) == config
