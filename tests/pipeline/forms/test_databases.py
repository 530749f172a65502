"""Databases: which walks there are, what they reach, and the rows and configurations that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import load_config, to_yaml
from pipeline.config.relational import Database
from pipeline.config.walks import cycle_of, name_of, walks_of
from pipeline.errors import UserError
from pipeline.unfold import run
from tests.pipeline.unfold.helpers import CUTOFF, SETTINGS, facts_of, quarantined, unfolded, write_json

BADGES = {"name": "badge", "path": "b", "key": "badge", "foreign_keys": {"employee": "employee"}, "rules": ["color"]}
EMPLOYEES = {
    **{"name": "employee", "path": "e", "format": "csv", "options": {"header": "true"}, "key": "id"},
    **{"foreign_keys": {"manager": "employee"}, "rules": ["team"]},
}


def database(**changes: Any) -> dict[str, Any]:
    return {"name": "staff", "entity": "employee", "depth": 2, "tables": [EMPLOYEES, BADGES]} | changes


def names(**changes: Any) -> list[str]:
    one = Database.model_validate(database(**changes))
    return [name_of(one, walk) for walk in walks_of(one)]


class TestWalks:
    def test_go_both_ways_along_a_key_but_not_straight_back(self) -> None:
        assert names() == [
            *("employee", "manager", "employee_by_manager", "badge"),
            *("manager__manager", "manager__badge"),
            *("employee_by_manager__employee_by_manager", "employee_by_manager__badge"),
        ]

    def test_go_round_a_cycle_as_long_as_the_depth_allows(self) -> None:
        assert cycle_of(Database.model_validate(database())) == ["employee.manager"]
        longest = max(names(depth=4, walks=["manager__manager__manager__manager"]))
        assert longest.count("manager") == 4

    def test_a_cycle_over_several_tables_is_found(self) -> None:
        tables = [
            {"name": name, "path": "x", "key": "id", "foreign_keys": {"next": following}}
            for name, following in (("a", "b"), ("b", "c"), ("c", "b"))
        ]
        assert cycle_of(Database.model_validate(database(tables=tables, entity="a"))) == ["b.next", "c.next"]

    def test_are_sources_that_labels_can_name_and_print_config_leaves_out(self, make_config, tmp_path) -> None:
        segment = {"name": "red", "label": {"source": "badge", "expression": "color = 'red'"}}
        config = make_config(databases=[database()], segments=[segment])
        assert [source.name for source in config.sources] == names()
        (tmp_path / "shown.yaml").write_text(to_yaml(config))
        assert load_config([tmp_path / "shown.yaml"]) == config
        assert "manager__badge" not in to_yaml(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entity": "empolyee"}, "entity 'empolyee' is no table; the tables are: employee, badge"),
        ({"tables": [EMPLOYEES, {**BADGES, "foreign_keys": {"x": "staff"}}]}, "foreign key x is of no table 'staff'"),
        (
            {"tables": [{**EMPLOYEES, "key": None}, BADGES]},
            "foreign key manager is of table employee, which has no key",
        ),
        ({"tables": [EMPLOYEES, EMPLOYEES]}, "duplicate table name: employee"),
        ({"tables": [EMPLOYEES, {**BADGES, "dbtable": "b"}]}, "needs one of path and dbtable"),
        ({"tables": [EMPLOYEES, {**BADGES, "path": "", "dbtable": "b; DROP TABLE b"}]}, "is not a safe table name"),
        (
            {"tables": [EMPLOYEES, {**BADGES, "path": "", "dbtable": "b"}]},
            "table badge has a dbtable, so jdbc is needed",
        ),
        ({"jdbc": {"url": "jdbc:postgresql://host/d"}}, "jdbc is for tables with a dbtable"),
        ({"walks": ["badges"]}, "no walk 'badges' to a table with rules in 2 steps; near: badge"),
        (
            {"depth": 8, "tables": [{**EMPLOYEES, "foreign_keys": {"manager": "employee", "mentor": "employee"}}]},
            "more than 200 walks to depth 8; take a smaller depth",
        ),
        ({"depth": -1}, "greater than or equal to 0"),
        (
            {"tables": [{**EMPLOYEES, "rules": [{"name": "t", "kind": "field", "column": "team", "windows": ["7d"]}]}]},
            "database staff, walk employee: rule t: needs event times",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_configuration_is_read(make_config, changes, message):
    with pytest.raises(UserError, match=message):
        make_config(databases=[database(**changes)])


@pytest.mark.parametrize(
    "jdbc",
    [
        {"url": "jdbc:postgresql://host/d?password=Secret1"},
        {"url": "jdbc:postgresql://me:Secret1@host/d"},
        {"url": "mysql://Secret1"},
        {"url": "jdbc:postgresql://host/d", "password": "Secret1"},
    ],
)
def test_a_password_in_the_configuration_is_refused_and_not_repeated(make_config, jdbc):
    with pytest.raises(UserError, match=r"databases\.0\.jdbc") as caught:
        make_config(databases=[database(jdbc=jdbc)])
    assert "Secret1" not in str(caught.value)


@pytest.fixture
def make(tmp_path, make_config, quick):
    """Ids are text here, doubles and null there; one employee is their own manager, two are each other's."""
    (tmp_path / "e.csv").write_text("id,manager,team\n1,2,a\n2,1,\n3,3,c\n4,8,d\n,1,e\n", encoding="utf-8")
    badges = [("b1", 1.0, "red"), ("b2", 2.0, None), ("b3", 9.0, "red"), ("b4", None, "blue"), (None, 1.0, "red")]
    quick.createDataFrame([*badges, ("b6", 4.0, "red")], "badge string, employee double, color string").coalesce(
        1
    ).write.parquet(str(tmp_path / "b"))

    def made(*overrides: str, **changes: Any):
        employees = {**EMPLOYEES, "path": str(tmp_path / "e.csv"), **changes.pop("employees", {})}
        badges = {**BADGES, "path": str(tmp_path / "b"), **changes.pop("badges", {})}
        return make_config(
            *SETTINGS,
            *overrides,
            databases=[database(tables=[employees, badges], **changes)],
            unfold={"cutoff": CUTOFF},
        )

    return made


def test_bad_rows_are_set_apart_and_cycles_end_at_the_depth(make, quick):
    config = make()
    assert unfolded(config, quick) == {
        "1": {
            **{"employee.team=a": 1, "manager__manager.team=a": 1, "badge.color=red": 1},
            "employee_by_manager__employee_by_manager.team=a": 1,
        },
        "2": {
            **{"manager.team=a": 1, "manager__badge.color=red": 1},
            **{"employee_by_manager.team=a": 1, "employee_by_manager__badge.color=red": 1},
        },
        "3": {
            **{"employee.team=c": 1, "manager.team=c": 1, "manager__manager.team=c": 1},
            **{"employee_by_manager.team=c": 1, "employee_by_manager__employee_by_manager.team=c": 1},
        },
    }
    rows = quarantined(config, quick)
    assert sorted((source, reason, row.get("id") or row.get("badge")) for source, reason, row in rows if reason) == [
        ("staff.badge", "badge is missing", None),
        ("staff.badge", "employee is not in employee", "b3"),
        ("staff.employee", "id is missing", None),
        ("staff.employee", "manager is not in employee", "4"),
    ]
    assert facts_of(config)["tables"] == {
        "staff.employee": {"rows": 3, "quarantined": {"id is missing": 1, "manager is not in employee": 1}},
        "staff.badge": {"rows": 4, "quarantined": {"badge is missing": 1, "employee is not in employee": 1}},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"badges": {"key": "color"}}, r"table staff\.badge: key color 'red' stands in it 4 times"),
        ({"badges": {"key": "number"}}, r"table staff\.badge: no column number \(key\); the columns are: badge"),
        ({"badges": {"rules": ["size"]}}, r"no column size \(rule size\)"),
    ],
)
def test_tables_that_do_not_fit_are_refused(make, changes, message):
    with pytest.raises(UserError, match=message):
        run(make(**changes))


def test_a_time_without_a_zone_is_refused(make, tmp_path):
    events = write_json(tmp_path, "badges", [{"badge": "b", "employee": 1, "color": "red", "at": "2026-02-01"}])
    with pytest.raises(UserError, match=r"table staff\.badge: at of 1 rows names no time zone; set timezone: UTC"):
        run(make(badges={"path": events, "format": "json", "time": "at"}))


def test_a_row_that_too_many_joins_go_through_is_refused(make, tmp_path):
    (tmp_path / "e.csv").write_text("id,manager,team\n" + "".join(f"{i},9,a\n" for i in range(10)), encoding="utf-8")
    rows = [{"badge": f"b{i}", "employee": 9, "color": "red"} for i in range(5)]
    path = write_json(tmp_path, "badges", rows)
    with pytest.raises(
        UserError, match=r"database staff: 50 joins would go through employee '9' to badge.*max_fanout = 49"
    ):
        run(make("unfold.max_fanout=49", badges={"path": path, "format": "json"}))
