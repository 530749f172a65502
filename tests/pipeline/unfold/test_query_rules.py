"""Rules of kind sparql and sql: what they make of events, what they refuse, and that they cannot see the future."""

import pytest

from pipeline.errors import UserError
from tests.pipeline.unfold.helpers import SETTINGS, event_source, unfolded, write_json

TRIPLES = [
    ("x", "by", "acme"),
    ("x", "by", "bolt"),
    ("y", "by", "bolt"),
    ("acme", "in", "tools"),
    ("bolt", "in", "tools"),
    ("x", "price", "12.5"),
    ("y", "price", "3"),
]
EVENTS = [
    {"user": "ann", "at": "2026-02-01", "item": "x", "paid": 3},
    {"user": "ann", "at": "2026-02-20", "item": "x", "paid": 4},
    {"user": "bob", "at": "2026-02-03", "item": "y", "paid": 5},
]
LATER = [{"user": "ann", "at": "2026-03-01", "item": "y", "paid": 9}, {"user": "eve", "at": "2026-03-02", "item": "x"}]


@pytest.fixture
def make(tmp_path, make_config):
    def made(*rules, events=EVENTS, overrides=(), **source):
        rows = [{"paid": None, **event} for event in events]
        kb = [dict(zip(("head", "relation", "tail"), triple, strict=True)) for triple in TRIPLES]
        return make_config(
            *SETTINGS,
            *overrides,
            sources=[
                event_source(write_json(tmp_path, "events", rows), list(rules), types={"paid": "double"}, **source)
            ],
            knowledge_base={"format": "json", "path": write_json(tmp_path, "kb", kb)},
            unfold={"cutoff": "2026-03-01"},
        )

    return made


def sparql(name, query, **more):
    return {"name": name, "kind": "sparql", "column": "item", "query": query, **more}


def sql(name, query, **more):
    return {"name": name, "kind": "sql", "query": query, **more}


SPARQL = [
    sparql("topic", "SELECT ?item ?topic { ?item <by>/<in> ?topic }"),
    sparql("once", "SELECT DISTINCT ?item ?topic { ?item <by>? ?a . ?item <in>? ?b . ?item <by>/<in> ?topic }"),
    sparql("priced", "SELECT ?value ?weight ?start { ?start <price> ?weight ; <by> ?value }"),
    sparql(
        "dear",
        "PREFIX xsd: <http://www.w3.org/2001/XMLSchema#> SELECT ?item ?maker { ?item <by> ?maker ; <price> ?price "
        "FILTER(xsd:double(str(?price)) > 4) }",
    ),
]


def of_rule(vector, rule):
    return {name.split("=", 1)[1]: weight for name, weight in vector.items() if name.startswith(f"s.{rule}=")}


def test_sparql_rules_weigh_by_solutions_or_by_a_variable(make, spark):
    vectors = unfolded(make(*SPARQL), spark)
    assert {rule["name"]: of_rule(vectors["ann"], rule["name"]) for rule in SPARQL} == {
        "topic": {"tools": 4},
        "once": {"tools": 2},
        "priced": {"acme": 25, "bolt": 25},
        "dear": {"acme": 2, "bolt": 2},
    }
    assert vectors["bob"] == {"s.topic=tools": 1, "s.once=tools": 1, "s.priced=bolt": 3}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT ?a ?x { ?a <by> ?b }", r"\?x is selected, but nothing in the query binds it; bound are: \?a, \?b"),
        ("SELECT ?a ?b { ?a <near> ?b }", "no relation 'near' in the knowledge base; it has: by, in, price"),
        ("SELECT ?a { ?a <by> ?b }", "wanted are a start, a value"),
        ("SELECT ?start ?b { ?start <by> ?b }", "wanted are .start, .value"),
    ],
)
def test_sparql_that_fits_no_rule_is_refused(make, spark, query, message):
    with pytest.raises(UserError, match=f"source s, rule r: .*{message}"):
        unfolded(make(sparql("r", query)), spark)


def test_a_hub_of_a_sparql_rule_is_refused(make, spark):
    config = make(sparql("r", "SELECT ?a ?b { ?a <in> ?t . ?b <in> ?t }"), overrides=["unfold.max_fanout=3"])
    with pytest.raises(UserError, match=r"source s, rule r: 4 solutions would meet at .t = 'tools'.*max_fanout = 3"):
        unfolded(config, spark)


SQL = [
    sql("spent", "SELECT user AS entity, item AS value, sum(paid) AS weight FROM s GROUP BY user, item"),
    sql(
        "makers",
        "SELECT s.user entity, k.tail value FROM s JOIN knowledge_base k ON k.head = s.item AND relation = 'by'",
    ),
    sql(
        "recent",
        "WITH mine AS (SELECT * FROM s) SELECT _entity entity, item value, _time time FROM mine",
        windows=["7d", "14d"],
    ),
    sql("times", "SELECT user AS entity, item AS value FROM s", aggregate="count"),
    # What could leak: the whole of the table, whatever the entity.
    sql(
        "all",
        "SELECT user AS entity, (SELECT max(item) FROM s) AS value, (SELECT count(*) FROM s) AS weight FROM s",
        aggregate="max",
    ),
]


def test_sql_rules_see_rows_before_the_cutoff_and_no_other(make, spark):
    vectors = unfolded(make(*SQL), spark)
    assert vectors == {
        "ann": {
            "s.spent=x": 7,
            "s.makers=acme": 2,
            "s.makers=bolt": 2,
            "s.recent.14d=x": 1,
            "s.times=x": 2,
            "s.all=y": 3,
        },
        "bob": {"s.spent=y": 5, "s.makers=bolt": 1, "s.times=y": 1, "s.all=y": 3},
    }
    assert unfolded(make(*SQL, events=[*EVENTS, *LATER]), spark) == vectors


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT user, item AS value FROM s", "the query returns no column entity; it returns: user, value"),
        ("SELECT user AS entity FROM s", "no column value"),
        ("SELECT user AS entity, item AS value, paid FROM s", "wanted are entity, value, perhaps weight and time"),
        ("SELECT user AS entity, item AS value, item AS weight FROM s", "column weight of the query is string"),
        ("SELECT user AS entity, nothing AS value FROM s", "Spark cannot run the query: .*nothing"),
        ("SELECT user AS entity, item AS value FROM elsewhere", "Spark cannot run the query: .*elsewhere"),
        ("SELECT user, FROM (", "Spark cannot run the query"),
        ("DROP VIEW s", "only a SELECT is taken"),
        ("SELECT head AS entity, tail AS value FROM json.`/some/events`", "reads json./some/events, which may hold"),
        ("SELECT user AS entity, rand() AS value FROM s", "not deterministic"),
        ("SELECT user AS entity, current_date() AS value FROM s", "asks for current_date"),
        ("SELECT user AS entity, datediff(now(), DATE '2026-01-01') AS value FROM s", "asks for now"),
        ("SELECT user AS entity, item AS value FROM IDENTIFIER('s')", "names a table by IDENTIFIER"),
    ],
)
def test_bad_sql_is_refused(make, spark, query, message):
    with pytest.raises(UserError, match=f"source s, rule r: .*{message}"):
        unfolded(make(sql("r", query)), spark)


def test_windows_of_sql_need_a_time(make, spark):
    with pytest.raises(UserError, match="need a column time"):
        unfolded(make(sql("r", "SELECT user AS entity, item AS value FROM s", windows=["7d"])), spark)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"kind": "sql"}, "kind sql needs a query"),
        ({"kind": "sparql", "column": "item"}, "kind sparql needs a query"),
        ({"kind": "sparql", "query": "SELECT"}, "kind sparql needs a column"),
        ({"kind": "sql", "query": "SELECT 1", "column": "item"}, "takes no column"),
        ({"kind": "field", "column": "item", "query": "SELECT 1"}, "takes no query"),
    ],
)
def test_rules_without_what_they_need_are_refused(make, rule, message):
    with pytest.raises(UserError, match=message):
        make({"name": "r", **rule})
