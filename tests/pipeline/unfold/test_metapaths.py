"""Meta-paths in full: against a plain path counter, weights, hubs."""

from collections import Counter
from fractions import Fraction
from functools import reduce

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.config.paths import Alternative, Hop, Repeat, Sequence, parse_path
from pipeline.errors import UserError
from pipeline.unfold.hubs import check_fanout, degrees_of
from pipeline.unfold.metapaths import loads, reached
from tests.pipeline.unfold.helpers import SETTINGS, event_source, unfolded, write_json

TRIPLES = "head string, relation string, tail string"


def walked(triples, path, start, degree):
    """Value -> the weight of the paths from a start, one path after the other."""
    match path:
        case Hop():
            edges = [(t, h) if path.inverse else (h, t) for h, relation, t in triples if relation == path.relation]
            ends = [end for begin, end in edges if begin == start]
            share = Fraction(1, len(ends)) if degree and ends else Fraction(1)
            return Counter({end: share * count for end, count in Counter(ends).items()})
        case Sequence(steps=(first, *rest)):
            ends = walked(triples, first, start, degree)
            return ends if not rest else onward(triples, Sequence(tuple(rest)), ends, degree)
        case Alternative():
            return reduce(Counter.__add__, (walked(triples, one, start, degree) for one in path.choices))
        case Repeat():
            total, ends = Counter(), Counter({start: Fraction(1)})
            for times in range(1, path.most + 1):
                ends = onward(triples, path.step, ends, degree)
                total += ends if times >= path.least else Counter()
            return total


def onward(triples, path, ends, degree):
    total = Counter()
    for node, weight in ends.items():
        for value, more in walked(triples, path, node, degree).items():
            total[value] += weight * more
    return total


hops = st.sampled_from(["p", "q", "^p", "^q", "r"])
paths = st.recursive(
    hops,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("({0[0]}/{0[1]})".format),
        st.tuples(inner, inner).map("({0[0]}|{0[1]})".format),
        st.tuples(inner, st.sampled_from(["{2}", "{1,2}", "{2,3}"])).map(lambda pair: f"({pair[0]}){pair[1]}"),
        inner.map("^({})".format),
    ),
    max_leaves=3,
)
nodes = st.sampled_from("abcde")
graphs = st.sets(st.tuples(nodes, st.sampled_from("pqr"), nodes), min_size=1, max_size=14)


@pytest.fixture(scope="module")
def interpreted(spark):
    """Spark without generated code: to compile a plan takes longer than to run it on a few rows."""
    names = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    names |= {"spark.sql.adaptive.enabled": "false", "spark.sql.shuffle.partitions": "1"}
    before = {name: spark.conf.get(name) for name in names}
    for name, value in names.items():
        spark.conf.set(name, value)
    yield spark
    for name, value in before.items():
        spark.conf.set(name, value)


@settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(triples=graphs, texts=st.lists(paths, min_size=9, max_size=9))
def test_paths_weigh_what_a_plain_counter_says(interpreted, triples, texts):
    triples_df = interpreted.createDataFrame(sorted(triples), TRIPLES)
    parts = [
        reached(triples_df, parse_path(text), weight).select(
            F.lit(place).alias("place"), F.lit(weight).alias("by"), "*"
        )
        for place, text in enumerate(texts)
        for weight in (("count", "binary", "degree")[place % 3],)
    ]
    found = {}
    for row in reduce(DataFrame.unionByName, parts).collect():
        assert (row.place, row.start, row.value) not in found
        found[row.place, row.start, row.value] = row.weight
    for place, text in enumerate(texts):
        by = ("count", "binary", "degree")[place % 3]
        for start in "abcde":
            expected = walked(triples, parse_path(text), start, by == "degree")
            of_start = {
                value: weight for (one, begin, value), weight in found.items() if (one, begin) == (place, start)
            }
            if by == "binary":
                assert of_start == dict.fromkeys(expected, 1.0), text
            else:
                assert of_start == pytest.approx({value: float(weight) for value, weight in expected.items()}), text


def test_the_load_of_a_node_is_the_paths_through_it(spark):
    """Three items of one brand with four shops: 3 x 4 paths through the brand."""
    triples = [(item, "made_by", "acme") for item in "xyz"] + [("acme", "sold_in", f"shop{i}") for i in range(4)]
    triples_df = spark.createDataFrame(triples, TRIPLES)
    found = {(row.node, row.hop): row.load for row in loads(triples_df, parse_path("made_by/sold_in")).collect()}
    assert found == {("acme", "sold_in"): 12.0}


def test_a_hub_is_refused_by_name_before_any_path_is_walked(spark):
    triples = [(f"item{i}", "in", "everything") for i in range(40)] + [
        ("item0", "in", "niche"),
        ("item1", "in", "niche"),
    ]
    triples_df = spark.createDataFrame(triples, TRIPLES)
    degrees = degrees_of(triples_df)
    assert degrees == {"in": (2, 40)}
    siblings = parse_path("in/^in")
    check_fanout(triples_df, degrees, siblings, 1600, "rule s")
    with pytest.raises(
        UserError, match=r"rule s: 1,600 paths would go through 'everything' by \^in.*max_fanout = 1,599"
    ):
        check_fanout(triples_df, degrees, siblings, 1599, "rule s")


def test_large_degrees_that_never_meet_are_no_hub(spark):
    """The bound from the degrees alone is 20 x 20; the node where 20 arrive is another than the one that 20 leave."""
    triples = [(f"a{i}", "p", "sink") for i in range(20)] + [("source", "q", f"b{i}") for i in range(20)]
    triples += [("x", "p", "source"), ("sink", "q", "y")]
    triples_df = spark.createDataFrame(triples, TRIPLES)
    check_fanout(triples_df, degrees_of(triples_df), parse_path("p/q"), 20, "rule s")


@pytest.fixture
def make(tmp_path, make_config):
    def made(*rules, overrides=()):
        events = [{"user": "ann", "at": "2026-02-01", "item": "x"}, {"user": "ann", "at": "2026-02-02", "item": "x"}]
        triples = [("x", "by", "acme"), ("x", "by", "bolt"), ("acme", "in", "tools"), ("bolt", "in", "tools")]
        kb = [dict(zip(("head", "relation", "tail"), triple, strict=True)) for triple in triples]
        source = event_source(
            write_json(tmp_path, "events", events), [{"kind": "path", "column": "item", **rule} for rule in rules]
        )
        return make_config(
            *SETTINGS,
            *overrides,
            sources=[source],
            knowledge_base={"format": "json", "path": write_json(tmp_path, "kb", kb)},
            unfold={"cutoff": "2026-03-01"},
        )

    return made


def test_events_weigh_by_path_weight(make, spark):
    rules = [{"name": weight, "path": "by/in|by", "path_weight": weight} for weight in ("count", "binary", "degree")]
    vector = unfolded(make(*rules), spark)["ann"]
    assert vector == {
        **{"s.count=tools": 4, "s.count=acme": 2, "s.count=bolt": 2},
        **{"s.binary=tools": 2, "s.binary=acme": 2, "s.binary=bolt": 2},
        **{"s.degree=tools": 2, "s.degree=acme": 1, "s.degree=bolt": 1},
    }


def test_the_limit_of_the_configuration_holds(make, spark):
    with pytest.raises(UserError, match="source s, rule siblings: 4 paths would go through 'tools'"):
        unfolded(make({"name": "siblings", "path": "in/^in"}, overrides=["unfold.max_fanout=3"]), spark)


def test_an_unknown_relation_is_named_with_the_known_ones(make, spark):
    with pytest.raises(UserError, match=r"rule far: no relation 'near' in the knowledge base; it has: by, in"):
        unfolded(make({"name": "far", "path": "by/(in|near){1,2}"}), spark)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"path": "by//in"}, "rule r: path 'by//in', character 4: expected a relation"),
        ({"path": "by", "path_weight": "degree", "aggregate": "count"}, "ignores path_weight"),
        ({"path": "by", "kind": "field", "path_weight": "degree"}, "takes no path"),
    ],
)
def test_bad_paths_are_refused_when_the_configuration_is_read(make, rule, message):
    with pytest.raises(UserError, match=message):
        make({"name": "r", **rule})
