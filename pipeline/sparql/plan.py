"""Checked algebra -> a bag of solutions over the triples, as one join plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
from pipeline.sparql.frames import Frame, Joins, one

Degrees = Mapping[str, tuple[int, int]]
"""Relation -> the most edges that leave a node by it, and that arrive at one."""
_FROM, _TO = Variable("_:from"), Variable("_:to")


def solutions(query: Query, triples_df: DataFrame, degrees: Degrees, limit: int | None, where: str) -> DataFrame:
    """A string column for each selected variable (v0, v1, … in the order of the query; null: unbound) and `n` long, how
    often the solution stands in the bag; each solution once.

    triples_df: head, relation, tail, each triple once; limit: `unfold.max_fanout`; None: hubs are not looked for, and
    degrees not read. Raises UserError, which begins with `where`, for a product, for a hub and for what filters do not
    support.
    """
    frame = _Plan(triples_df, degrees, limit, where).pattern(query.pattern)
    selected = [F.col(frame.names[variable]).alias(f"v{i}") for i, variable in enumerate(query.variables)]
    n = one() if query.distinct else F.sum(frame.n)
    return frame.solutions_df.groupBy(*selected).agg(n.alias("n"))


class _Plan:
    def __init__(self, triples_df: DataFrame, degrees: Degrees, limit: int | None, where: str) -> None:
        self._triples_df = triples_df
        self._degrees = degrees
        self._where = where
        self._joins = Joins(limit, where, self._new_name)
        self._columns = 0

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
                return self._union([self.pattern(pattern.left), self.pattern(pattern.right)])
            case Filter():
                frame = self.pattern(pattern.pattern)
                condition = condition_of(pattern.condition, frame.columns, self._where)
                return replace(frame, solutions_df=frame.solutions_df.where(condition))

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
        return Frame(spark.range(1).toDF(self._new_name()), {}, frozenset(), {}, one())

    def _triple(self, triple: Triple) -> Frame:
        if isinstance(triple.predicate, Variable):
            subject, predicate, object_ = (self._new_name() for _ in range(3))
            named = {"head": subject, "relation": predicate, "tail": object_}
            edges_df = self._triples_df.select(*(F.col(name).alias(new) for name, new in named.items()))
            n = one()
            leave, arrive = (float(sum(most[i] for most in self._degrees.values())) for i in (0, 1))
            places = [
                (subject, triple.subject, leave),
                (predicate, triple.predicate, float("inf") if self._degrees else 0.0),
                (object_, triple.object, arrive),
            ]
        else:
            ends = tuple(term for term in (triple.subject, triple.object) if isinstance(term, str))
            path = self._path(triple.predicate, ends)
            edges_df, n = path.solutions_df, path.n
            places = [(path.names[_FROM], triple.subject, path.fan[_FROM])]
            places.append((path.names[_TO], triple.object, path.fan[_TO]))
        fits = []
        names: dict[Variable, str] = {}
        fan: dict[Variable, float] = {}
        constants = sum(not isinstance(term, Variable) for _, term, _ in places)
        for column, term, most in places:
            if not isinstance(term, Variable):
                fits.append(F.col(column) == term)
            elif term in names:
                fits.append(F.col(column) == F.col(names[term]))
            else:
                names[term] = column
                # Pairs stand once: with one end fixed there is a row for each value of the other.
                fan[term] = 1.0 if constants == len(places) - 1 else most
        if fits:
            edges_df = edges_df.where(reduce(lambda both, fit: both & fit, fits))
        return Frame(edges_df, names, frozenset(names), fan, n)

    def _path(self, path: PropertyPath, ends: tuple[str, ...]) -> Frame:
        """The pairs (from, to) of a path, each once, `n` the number of ways; `ends`: constants at the ends of its
        pattern, from which a path of no hop leads to themselves even where the graph does not have them."""
        match path:
            case Hop():
                leave, arrive = map(float, self._degrees.get(path.relation, (0, 0)))
                hop_df = self._triples_df.where(F.col("relation") == path.relation)
                head, tail = self._new_name(), self._new_name()
                hop_df = hop_df.select(F.col("head").alias(head), F.col("tail").alias(tail))
                if path.inverse:
                    return _pairs(hop_df, tail, head, arrive, leave)
                return _pairs(hop_df, head, tail, leave, arrive)
            case Chain():
                return reduce(self._chained, (self._path(step, ends) for step in path.steps))
            case Choice():
                both = self._union([self._path(choice, ends) for choice in path.choices])
                return self._counted(both)
            case Maybe():
                step = self._path(path.step, ends)
                nodes_df = self._triples_df.select(F.explode(F.array("head", "tail")).alias("f"))
                if ends:
                    given_df = self._unit().solutions_df.select(F.explode(F.array(*map(F.lit, ends))).alias("f"))
                    nodes_df = nodes_df.unionByName(given_df)
                begin, end = self._new_name(), self._new_name()
                same_df = nodes_df.select(F.col("f").alias(begin), F.col("f").alias(end))
                set_df = same_df.union(step.solutions_df.select(step.names[_FROM], step.names[_TO])).distinct()
                return _pairs(set_df, begin, end, step.fan[_FROM] + 1, step.fan[_TO] + 1)

    def _chained(self, first: Frame, second: Frame) -> Frame:
        middle = Variable("_:middle")
        return self._counted(self._joins.inner(_renamed(first, middle, _TO), _renamed(second, middle, _FROM)))

    def _counted(self, frame: Frame) -> Frame:
        """The pairs (from, to) of a bag, each once."""
        n = self._new_name()
        pairs_df = frame.solutions_df.groupBy(frame.names[_FROM], frame.names[_TO]).agg(F.sum(frame.n).alias(n))
        pairs = _pairs(pairs_df, frame.names[_FROM], frame.names[_TO], frame.fan[_FROM], frame.fan[_TO])
        return replace(pairs, n=F.col(n))

    def _union(self, frames: list[Frame]) -> Frame:
        variables = dict.fromkeys(variable for frame in frames for variable in frame.names)
        names = {variable: self._new_name() for variable in variables}
        n, missing = self._new_name(), F.lit(None).cast("string")
        parts = []
        for frame in frames:
            of_frame = frame.columns
            columns = [of_frame.get(variable, missing).alias(name) for variable, name in names.items()]
            parts.append(frame.solutions_df.select(*columns, frame.n.alias(n)))
        certain = frozenset.intersection(*(frame.certain for frame in frames))
        fan = {variable: sum(frame.fan[variable] for frame in frames) for variable in certain}
        return Frame(reduce(DataFrame.union, parts), names, certain, fan, F.col(n))

    def _new_name(self) -> str:
        """Of a column. Numbered: Spark takes ?x and ?X for the same."""
        self._columns += 1
        return f"x{self._columns}"


def _renamed(frame: Frame, new: Variable, old: Variable) -> Frame:
    names = {new if variable == old else variable: name for variable, name in frame.names.items()}
    fan = {new if variable == old else variable: most for variable, most in frame.fan.items()}
    return replace(frame, names=names, fan=fan, certain=frozenset(names))


def _pairs(pairs_df: DataFrame, begin: str, end: str, leave: float, arrive: float) -> Frame:
    fan = {_FROM: leave, _TO: arrive}
    return Frame(pairs_df, {_FROM: begin, _TO: end}, frozenset((_FROM, _TO)), fan, one())
