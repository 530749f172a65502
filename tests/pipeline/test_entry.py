"""What every entry does: options, exit codes, words without a traceback."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import yaml

from pipeline.config import Config, load_config
from pipeline.entry import main, main_with_options, own_options
from pipeline.errors import UserError


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"run": {"workdir": str(tmp_path / "work")}, "train": {"epochs": 3}}))
    return path


def test_the_stage_gets_the_configuration(config_file: Path) -> None:
    seen: list[Config] = []
    main("A stage.", seen.append, ["--config", str(config_file), "--set", "train.epochs=4"])
    assert [config.train.epochs for config in seen] == [4]


def test_print_config_shows_the_resolved_whole_and_runs_nothing(config_file: Path, tmp_path: Path, capsys) -> None:
    seen: list[Config] = []
    main("A stage.", seen.append, ["--config", str(config_file), "--set", "train.seed=7", "--print-config"])
    shown = tmp_path / "shown.yaml"
    shown.write_text(capsys.readouterr().out)
    assert load_config([shown]) == load_config([config_file], ["train.seed=7"])
    assert seen == []
    assert not (tmp_path / "work").exists()


class TestOptionsOfAnEntrysOwn:
    def test_reach_what_runs(self, config_file: Path) -> None:
        own, seen = own_options(), []
        own.add_argument("--seeds", type=int, nargs="+")
        arguments = ["--config", str(config_file), "--seeds", "4", "5"]
        main_with_options("A stage.", own, lambda config, options: seen.append((config, options.seeds)), arguments)
        assert [(config.train.epochs, seeds) for config, seeds in seen] == [(3, [4, 5])]

    def test_stand_in_its_help(self, capsys) -> None:
        own = own_options()
        own.add_argument("--seeds", help="which seeds")
        with pytest.raises(SystemExit) as end:
            main_with_options("A stage.", own, lambda config, options: None, ["--help"])
        assert end.value.code == 0
        help_text = capsys.readouterr().out
        assert "which seeds" in help_text
        assert "--print-config" in help_text

    def test_that_are_unknown_end_with_2(self, config_file: Path, capsys) -> None:
        with pytest.raises(SystemExit) as end:
            main("A stage.", lambda config: None, ["--config", str(config_file), "--sedes", "4"])
        assert end.value.code == 2
        assert "--sedes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "train.epoch=3"], "unknown key 'epoch'; did you mean 'epochs'?"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml: no such configuration file"),
        (["--set", "run.workdir=/proc/out"], "/proc/out: cannot be written"),
    ],
)
def test_bad_input_ends_with_2_and_a_message_before_any_work(config_file: Path, capsys, arguments, words) -> None:
    seen: list[Config] = []
    with pytest.raises(SystemExit) as end:
        main("A stage.", seen.append, ["--config", str(config_file), *arguments])
    assert end.value.code == 2
    assert seen == []
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error


def test_bad_input_found_by_the_stage_ends_with_2(config_file: Path, capsys) -> None:
    def stage(config: Config) -> None:
        raise UserError("tables/x: no table here; run the unfold stage first")

    with pytest.raises(SystemExit) as end:
        main("A stage.", stage, ["--config", str(config_file)])
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: tables/x: no table here; run the unfold stage first\n"


def test_an_interrupt_ends_with_130(config_file: Path, capsys) -> None:
    def stage(config: Config) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        main("A stage.", stage, ["--config", str(config_file)])
    assert end.value.code == 130
    assert "run the same again" in capsys.readouterr().err


def test_a_defect_keeps_its_traceback(config_file: Path) -> None:
    def stage(config: Config) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main("A stage.", stage, ["--config", str(config_file)])


def test_a_run_of_all_stages_refuses_a_model_that_it_will_not_be_able_to_train(config_file: Path) -> None:
    run_all = runpy.run_module("jobs.run")["run"]
    with pytest.raises(UserError, match="metaug"):
        run_all(load_config([config_file], ["model.name=metaug"]))
