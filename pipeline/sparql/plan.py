"""Checked algebra -> a bag of solutions over the triples, as one join plan."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.config.paths import Hop
from pipeline.sparql.algebra import (
    Basic,
    Chain,
    Choice,
    Filter,
    Join,
    LeftJoin,
    Maybe,
    Pattern,
    PropertyPath,
    Query,
    Triple,
    Union,
    Variable,
)
from pipeline.sparql.filters import condition_of
from pipeline.sparql.frames import Columns, Frame, Joins, N

Degrees = Mapping[str, tuple[int, int]]
"""Relation -> the most edges that leave a node by it, and that arrive at one."""
_FROM, _TO = Variable("_:from"), Variable("_:to")


def solutions(query: Query, triples_df: DataFrame, degrees: Degrees, limit: int, where: str) -> DataFrame:
    """A string column for each selected variable (v0, v1, … in the order of the query; null: unbound) and `n` long, how
    often the solution stands in the bag; each solution once.

    triples_df: head, relation, tail, each triple once; degrees: without any, hubs are not looked for; limit:
    `unfold.max_fanout`. Raises UserError, which begins with
    `where`, for a product, for a hub and for what filters do not support.
    """
    frame = _Plan(triples_df, degrees, limit, where).pattern(query.pattern)
    selected = [F.col(frame.names[variable]).alias(f"v{i}") for i, variable in enumerate(query.variables)]
    names = [f"v{i}" for i in range(len(selected))]
    bag_df = frame.solutions_df.select(*selected, N)
    if query.distinct:
        return bag_df.select(*names).distinct().withColumn(N, F.lit(1).cast("long"))
    return bag_df.groupBy(*names).agg(F.sum(N).alias(N))


class _Plan:
    def __init__(self, triples_df: DataFrame, degrees: Degrees, limit: int, where: str) -> None:
        self._triples_df = triples_df
        self._degrees = degrees
        self._where = where
        self._joins = Joins(limit, where)
        self._names: dict[Variable, str] = {}

    def pattern(self, pattern: Pattern) -> Frame:
        match pattern:
            case Basic():
                return self._basic(list(pattern.triples))
            case Join():
                return self._joins.inner(self.pattern(pattern.left), self.pattern(pattern.right))
            case LeftJoin():
                left, right, condition = self.pattern(pattern.left), self.pattern(pattern.right), pattern.condition
                if condition is None:
                    return self._joins.left(left, right, None)
                return self._joins.left(left, right, lambda columns: condition_of(condition, columns, self._where))
            case Union():
                return _union([self.pattern(pattern.left), self.pattern(pattern.right)])
            case Filter():
                frame = self.pattern(pattern.pattern)
                columns: Columns = {variable: F.col(name) for variable, name in frame.names.items()}
                kept_df = frame.solutions_df.where(condition_of(pattern.condition, columns, self._where))
                return Frame(kept_df, frame.names, frame.certain, frame.fan)

    def _basic(self, triples: list[Triple]) -> Frame:
        """Joined one by one: what has most constants first, then always what shares a variable."""
        frames = [self._triple(triple) for triple in triples]
        frames.sort(key=lambda frame: len(frame.names))
        if not frames:
            return self._unit()
        whole = frames.pop(0)
        while frames:
            place = next((i for i, one in enumerate(frames) if one.names.keys() & whole.names.keys()), 0)
            whole = self._joins.inner(whole, frames.pop(place))
        return whole

    def _unit(self) -> Frame:
        """The one solution that binds nothing."""
        spark = SparkSession.getActiveSession()
        assert spark is not None
        return Frame(spark.range(1).select(F.lit(1).cast("long").alias(N)), {}, frozenset(), {})

    def _triple(self, triple: Triple) -> Frame:
        if isinstance(triple.predicate, Variable):
            edges_df = self._triples_df.select(
                F.col("head").alias("s"), F.col("relation").alias("p"), F.col("tail").alias("o")
            )
            edges_df = edges_df.withColumn(N, F.lit(1).cast("long"))
            leave, arrive = (float(sum(most[i] for most in self._degrees.values())) for i in (0, 1))
            places = [
                ("s", triple.subject, leave),
                ("p", triple.predicate, float("inf") if self._degrees else 0.0),
                ("o", triple.object, arrive),
            ]
        else:
            ends = tuple(one for one in (triple.subject, triple.object) if isinstance(one, str))
            path = self._path(triple.predicate, ends)
            edges_df = path.solutions_df.select(
                F.col(path.names[_FROM]).alias("s"), F.col(path.names[_TO]).alias("o"), N
            )
            places = [("s", triple.subject, path.fan[_FROM]), ("o", triple.object, path.fan[_TO])]
        constants = {column: term for column, term, _ in places if not isinstance(term, Variable)}
        for column, value in constants.items():
            edges_df = edges_df.where(F.col(column) == value)
        at: dict[Variable, str] = {}
        fan: dict[Variable, float] = {}
        for column, term, most in places:
            if not isinstance(term, Variable):
                continue
            if term in at:
                edges_df = edges_df.where(F.col(column) == F.col(at[term]))
            else:
                at[term] = column
                # Pairs stand once: with one end fixed there is a row for each value of the other.
                fan[term] = 1.0 if len(constants) == len(places) - 1 else most
        names = {variable: self._name(variable) for variable in at}
        selected = [F.col(column).alias(names[variable]) for variable, column in at.items()]
        return Frame(edges_df.select(*selected, N), names, frozenset(names), fan)

    def _path(self, path: PropertyPath, ends: tuple[str, ...]) -> Frame:
        """The pairs (from, to) of a path, each once, `n` the number of ways; `ends`: constants at the ends of its
        pattern, from which a path of no hop leads to themselves even where the graph does not have them."""
        match path:
            case Hop():
                leave, arrive = self._degrees.get(path.relation, (0, 0))
                hop_df = self._triples_df.where(F.col("relation") == path.relation)
                begin, end = ("tail", "head") if path.inverse else ("head", "tail")
                pairs_df = hop_df.select(F.col(begin).alias("f"), F.col(end).alias("t"), F.lit(1).cast("long").alias(N))
                most = (arrive, leave) if path.inverse else (leave, arrive)
                return _pairs(pairs_df, *map(float, most))
            case Chain():
                steps = [self._path(step, ends) for step in path.steps]
                return reduce(self._chained, steps)
            case Choice():
                choices = [self._path(choice, ends) for choice in path.choices]
                both_df = reduce(DataFrame.unionByName, (choice.solutions_df for choice in choices))
                fans = [sum(choice.fan[end] for choice in choices) for end in (_FROM, _TO)]
                return _pairs(both_df.groupBy("f", "t").agg(F.sum(N).alias(N)), *fans)
            case Maybe():
                step = self._path(path.step, ends)
                nodes_df = self._triples_df.select(F.explode(F.array("head", "tail")).alias("f"))
                if ends:
                    given_df = self._unit().solutions_df.select(F.explode(F.array(*map(F.lit, ends))).alias("f"))
                    nodes_df = nodes_df.unionByName(given_df)
                same_df = nodes_df.select("f", F.col("f").alias("t"))
                set_df = step.solutions_df.select("f", "t").unionByName(same_df).distinct()
                once_df = set_df.withColumn(N, F.lit(1).cast("long"))
                return _pairs(once_df, step.fan[_FROM] + 1, step.fan[_TO] + 1)

    def _chained(self, first: Frame, second: Frame) -> Frame:
        middle = Variable("_:middle")
        left = Frame(
            first.solutions_df, {_FROM: "f", middle: "t"}, frozenset((_FROM, middle)), _renamed(first, middle, _TO)
        )
        right_df = second.solutions_df.select(F.col("f").alias("t"), F.col("t").alias("u"), N)
        right = Frame(right_df, {middle: "t", _TO: "u"}, frozenset((_TO, middle)), _renamed(second, middle, _FROM))
        joined = self._joins.inner(left, right)
        pairs_df = joined.solutions_df.groupBy("f", F.col("u").alias("to")).agg(F.sum(N).alias(N))
        return _pairs(pairs_df.toDF("f", "t", N), joined.fan[_FROM], joined.fan[_TO])

    def _name(self, variable: Variable) -> str:
        """Numbered: Spark takes ?x and ?X for the same."""
        return self._names.setdefault(variable, f"x{len(self._names)}")


def _renamed(frame: Frame, new: Variable, old: Variable) -> dict[Variable, float]:
    return {new if variable == old else variable: fan for variable, fan in frame.fan.items()}


def _pairs(pairs_df: DataFrame, leave: float, arrive: float) -> Frame:
    return Frame(pairs_df, {_FROM: "f", _TO: "t"}, frozenset((_FROM, _TO)), {_FROM: leave, _TO: arrive})


def _union(frames: list[Frame]) -> Frame:
    names = {variable: name for frame in frames for variable, name in frame.names.items()}
    missing = F.lit(None).cast("string")
    parts = []
    for frame in frames:
        columns = [
            (F.col(name) if variable in frame.names else missing).alias(name) for variable, name in names.items()
        ]
        parts.append(frame.solutions_df.select(*columns, N))
    certain = frozenset.intersection(*(frame.certain for frame in frames))
    fan = {variable: sum(frame.fan[variable] for frame in frames) for variable in certain}
    return Frame(reduce(DataFrame.unionByName, parts), names, certain, fan)
