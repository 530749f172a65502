"""A database over JDBC: the example of the four forms on a real PostgreSQL server. `make postgres-check` runs it."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from pipeline import prepare
from pipeline.config import Config, load_config
from pipeline.environment import JDBC_JARS, jars_folder
from pipeline.errors import UserError
from pipeline.tables import Tables
from tests.pipeline.forms.postgres import PASSWORD, Server, server
from tests.pipeline.forms.test_four_forms import EXAMPLES, EXPECTED, canonical
from tests.pipeline.unfold.helpers import unfolded

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.categories (category text PRIMARY KEY, parent text REFERENCES shop.categories);
CREATE TABLE shop.products (product text PRIMARY KEY, brand varchar(20), tags text,
    category text REFERENCES shop.categories);
CREATE TABLE shop.customers (customer text PRIMARY KEY, age numeric, city char(4));
CREATE TABLE shop.orders ("order" text PRIMARY KEY, customer text REFERENCES shop.customers,
    product text REFERENCES shop.products, ordered_at timestamp, number serial);
"""
ORDER = {"customer": "customers", "orders": "orders", "product": "products", "category": "categories"}


@pytest.fixture(scope="module")
def shop() -> Iterator[Server]:
    if not all((jars_folder() / name).is_file() for name in JDBC_JARS):
        pytest.skip("PostgreSQL's driver is missing: `make setup` fetches it")
    with server() as one:
        one.execute(SCHEMA + "".join(_inserts(name) for name in ("categories", "products", "customers", "orders")))
        yield one


def _inserts(table: str) -> str:
    """The rows of an example's file, those a foreign key refers to first."""
    with (EXAMPLES / "shop" / f"{table}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if table == "categories":
        rows.reverse()
    columns = ", ".join(f'"{name}"' for name in rows[0])
    values = ["(" + ", ".join(f"'{text}'" if text else "NULL" for text in row.values()) + ")" for row in rows]
    return f"INSERT INTO shop.{table} ({columns}) VALUES {', '.join(values)};\n"


@pytest.fixture
def make(shop: Server, tmp_path, monkeypatch):
    def made(change=lambda database: None, **jdbc: Any) -> Config:
        content = yaml.safe_load((EXAMPLES / "database.yaml").read_text()) | {
            "run": {"workdir": str(tmp_path / "work")}
        }
        content["include"] = str(EXAMPLES / "common.yaml")
        (database,) = content["databases"]
        database["jdbc"] = {"url": shop.url, "user": "reader", "password": "$SHOP_PASSWORD"} | jdbc
        for table in database["tables"]:
            for name in ("path", "format", "options"):
                del table[name]
            table["dbtable"] = f"shop.{ORDER[table['name']]}"
        change(database)
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
        return load_config([tmp_path / "config.yaml"])

    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    return made


def in_parts(database: dict[str, Any]) -> None:
    """Orders by several connections, most of whose rows are outside the ranges."""
    database["tables"][1]["partition"] = {"column": "number", "lower": 2, "upper": 4, "parts": 3}


def test_a_database_gives_the_vectors_of_the_other_forms(quick, make, caplog):
    config = make(in_parts)
    with caplog.at_level(logging.DEBUG):
        prepare.run(config)
    assert Tables(config, quick).read("copy_shop_orders").count() == 6
    assert canonical(unfolded(config, quick)) == EXPECTED
    assert PASSWORD not in caplog.text


def test_what_the_server_refuses_is_told_without_the_password(quick, make, monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", "wrong secret")
    with pytest.raises(
        UserError, match=r"database shop: table shop.customers of jdbc:postgresql.*cannot be read"
    ) as caught:
        prepare.run(make())
    assert "wrong secret" not in str(caught.value)


def test_a_table_that_is_not_there_is_named(quick, make):
    def change(database: dict[str, Any]) -> None:
        database["tables"][0]["dbtable"] = "shop.nobody"

    with pytest.raises(UserError, match=r"table shop.nobody of .*cannot be read: .*does not exist"):
        prepare.run(make(change))


def test_a_password_that_is_not_set_is_told_before_the_server_is_asked(make, monkeypatch):
    monkeypatch.delenv("SHOP_PASSWORD")
    with pytest.raises(
        UserError, match=r"database shop: jdbc.password: the environment variable SHOP_PASSWORD is not set"
    ):
        prepare.run(make())
