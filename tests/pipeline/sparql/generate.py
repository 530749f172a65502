"""Queries made at random along walks through a graph, so that most have answers; and rdflib's answers to them."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from rdflib import Graph, URIRef
from rdflib.plugins.sparql.sparql import Query

Triple = tuple[str, str, str]
XSD_DOUBLE = "<http://www.w3.org/2001/XMLSchema#double>"
FEATURES = {
    "several triple patterns": r" \..* \.",
    "a variable for the relation": r" \?p\d",
    "OPTIONAL": "OPTIONAL",
    "UNION": "UNION",
    "DISTINCT": "DISTINCT",
    "path: sequence": r"[>)?]/",
    "path: alternative": r"[>)?]\|[(<^]",
    "path: inverse": r"\^[(<]",
    "path: ? (none or once)": r"\)\?",
    "FILTER =, !=": r"\?\w !?= ",
    "FILTER <, <=, >, >= of text": r"str\(\?\w\) [<>]=? ",
    "FILTER of numbers": r"XMLSchema#double|strlen",
    "FILTER IN, NOT IN": r" IN \(",
    "FILTER regex": "regex",
    "FILTER bound": "bound",
    "FILTER &&, ||, !": r"&&|\|\||!\(|!bound",
}
"""What generated queries consist of, by the pattern that their text then has."""


def read_ml100k(folder: Path) -> list[Triple]:
    """The knowledge graph of MovieLens-100K and which item is which movie; no self-loops: rdflib gives those twice for
    `p?`."""
    lines = (folder / "movie.kg").read_text(encoding="utf-8").splitlines()[1:]
    triples = [tuple(line.split("\t")) for line in lines]
    links = [line.split("\t") for line in (folder / "movie.link").read_text(encoding="utf-8").splitlines()[1:]]
    triples += [(item, "is", entity) for item, entity in links]
    return sorted({(head, relation, tail) for head, relation, tail in triples if head != tail})


def around(triples: Iterable[Triple], movies: int, seed: int) -> list[Triple]:
    """What is said of this many movies that hang together."""
    by_node = defaultdict(list)
    for triple in triples:
        by_node[triple[0]].append(triple)
        by_node[triple[2]].append(triple)
    chooser = random.Random(seed)
    first = chooser.choice(sorted(triple[2] for triple in triples if triple[1] == "is"))
    chosen, waiting = {first}, [first]
    while waiting and len(chosen) < movies:
        for head, _, tail in by_node[waiting.pop(0)]:
            for person in sorted({head, tail}):
                # Genres and ratings would lead everywhere.
                near = [h for h, r, _ in by_node[person] if r == "film.film.actor"] if len(by_node[person]) < 60 else []
                fresh = [movie for movie in sorted(set(near)) if movie not in chosen][: movies - len(chosen)]
                chosen.update(fresh)
                waiting += fresh
    found: set[Triple] = set()
    for movie in sorted(chosen):
        # A few of each relation: rdflib joins a pattern at a time, value by value, and takes minutes where hubs meet.
        of_relation: dict[tuple[str, bool], list[Triple]] = defaultdict(list)
        for triple in sorted(set(by_node[movie]), key=lambda one: (-len(by_node[one[0]]) - len(by_node[one[2]]), one)):
            of_relation[triple[1], triple[0] == movie].append(triple)
        found |= {triple for several in of_relation.values() for triple in several[:2]}
    return sorted(found)


class Queries:
    """An endless stream of different queries over a graph; `small`: of a pattern or two, quickly planned."""

    def __init__(self, triples: list[Triple], seed: int, small: bool = False) -> None:
        self._chooser = random.Random(seed)
        self._small = small
        self._triples = triples
        self._around = defaultdict(list)
        for triple in triples:
            self._around[triple[0]].append(triple)
            self._around[triple[2]].append(triple)
        self._nodes: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        while True:
            yield self._query()

    def _query(self) -> str:
        self._nodes = {"a": self._chooser.choice(self._triples)[self._chooser.choice([0, 2])]}
        parts = [
            self._triple(sorted(self._nodes))
            for _ in range(self._chooser.choice([1, 1, 1, 1, 2] if self._small else [1, 1, 1, 2, 2]))
        ]
        certain = sorted(self._nodes)
        if self._chance(0.15 if self._small else 0.3):
            one = self._chooser.choice(certain)
            fresh = self._fresh() if self._chance(0.6) else None
            sides = " UNION ".join(f"{{ {self._group([one], fresh)} }}" for _ in range(2))
            parts.append(sides)
        for _ in range(self._chooser.choice([0, 0, 0, 1] if self._small else [0, 0, 1, 1])):
            at = self._chooser.sample(certain, 1)
            inner = self._group(at, None)
            parts.append(f"OPTIONAL {{ {inner} }}")
        maybe = sorted(set(self._nodes) - set(certain))
        for _ in range(self._chooser.choice([0, 1, 1, 2])):
            parts.append(f"FILTER({self._condition(certain)})")
        if maybe and self._chance(0.4):
            parts.append(f"FILTER({self._chooser.choice(['', '!'])}bound(?{self._chooser.choice(maybe)}))")
        names = self._chooser.sample(sorted(self._nodes), min(len(self._nodes), self._chooser.choice([1, 2, 2, 3])))
        distinct = "DISTINCT " if self._chance(0.3) else ""
        return f"SELECT {distinct}{' '.join('?' + name for name in names)} WHERE {{ {' '.join(parts)} }}"

    def _group(self, at: list[str], fresh: str | None) -> str:
        """A nested group, whose filters are over its own variables."""
        before = set(self._nodes)
        text = self._triple(at, fresh)
        own = sorted((set(self._nodes) - before) | set(at))
        if self._chance(0.25):
            text += " " + self._triple(own)
        own = sorted((set(self._nodes) - before) | set(at))
        return text + (f" FILTER({self._condition(own)})" if self._chance(0.25) else "")

    def _triple(self, at: list[str], fresh: str | None = None) -> str:
        """A pattern that holds for the nodes the variables stand for."""
        name = self._chooser.choice(at)
        path, node = self._walk(self._nodes[name])
        if self._chance(0.06):
            head, _, tail = self._chooser.choice(self._around[self._nodes[name]])
            self._nodes.setdefault(other := fresh or self._fresh(), tail if head == self._nodes[name] else head)
            ends = (name, other) if head == self._nodes[name] else (other, name)
            return f"?{ends[0]} ?p{len(self._nodes)} ?{ends[1]} ."
        if fresh is None and self._chance(0.2):
            end = f"<{node}>"
        else:
            same = [one for one, value in self._nodes.items() if value == node and one in at]
            other = self._chooser.choice(same) if same and self._chance(0.3) else fresh or self._fresh()
            self._nodes.setdefault(other, node)
            end = f"?{other}"
        return f"?{name} {path} {end} ." if self._chance(0.7) else f"{end} ^({path}) ?{name} ."

    def _walk(self, node: str) -> tuple[str, str]:
        """A path from a node, and where it leads."""
        text, end = self._hop(node)
        if self._chance(0.12):
            # One hop that never leads back: what does, rdflib gives twice, where SPARQL has a set.
            text, end = f"({text})?", self._chooser.choice([end, node])
        elif self._chance(0.2):
            more, end = self._hop(end)
            text = f"{text}/{more}"
        if self._chance(0.12):
            text = f"({text}|{self._hop(self._chooser.choice(self._triples)[0])[0]})"
        if self._chance(0.08):
            more, end = self._hop(end)
            text = f"({text})/{more}"
        return text, end

    def _hop(self, node: str) -> tuple[str, str]:
        head, relation, tail = self._chooser.choice(self._around[node])
        return (f"<{relation}>", tail) if head == node else (f"^<{relation}>", head)

    def _condition(self, names: list[str], depth: int = 0) -> str:
        """Without errors below `!`, at which rdflib departs from SPARQL (`!(false && error)`)."""
        name = self._chooser.choice(names)
        node = self._nodes[name]
        if depth < 2 and self._chance(0.25):
            one, other = self._condition(names, depth + 1), self._condition(names, depth + 1)
            return f"({one}) {self._chooser.choice(['&&', '||'])} ({other})"
        others = [self._chooser.choice(self._triples)[2] for _ in range(2)]
        texts = [
            f"?{name} {self._chooser.choice(['=', '!='])} <{self._chooser.choice([node, *others])}>",
            f"?{name} {self._chooser.choice(['=', '!='])} ?{self._chooser.choice(names)}",
            f"?{name} {self._chooser.choice(['IN', 'NOT IN'])} (<{node}>, <{others[0]}>)",
            f'regex(str(?{name}), "{self._chooser.choice([node[2:5], "^m.0", "[0-4]$", node[-2:].upper()])}", "i")',
            f'str(?{name}) {self._chooser.choice(["<", "<=", ">", ">="])} "{others[0]}"',
            f'strstarts(str(?{name}), "{node[:3]}") || contains(str(?{name}), "{others[0][-2:]}")',
            f"strlen(str(?{name})) {self._chooser.choice(['<', '=', '>='])} {len(node)}",
            f"!(?{name} = <{others[1]}>)",
            f"{XSD_DOUBLE}(str(?{name})) {self._chooser.choice(['<', '>=', '!='])} {self._chooser.randrange(1700)}",
        ]
        return self._chooser.choice(texts)

    def _fresh(self) -> str:
        return "abcdefghijklmnopqrstuvwxyz"[len(self._nodes)]

    def _chance(self, share: float) -> bool:
        return self._chooser.random() < share


def features_of(query: str) -> list[str]:
    """Those of `FEATURES` that a generated query has."""
    return [name for name, pattern in FEATURES.items() if re.search(pattern, query)]


def graph_of(triples: Iterable[Triple]) -> Graph:
    graph = Graph()
    for triple in triples:
        graph.add(tuple(map(URIRef, triple)))
    return graph


def answers(graph: Graph, query: Query) -> Counter[tuple[str | None, ...]]:
    """rdflib's bag; it leaves out solutions that bind nothing that is selected."""
    return Counter(tuple(None if term is None else str(term) for term in row) for row in graph.query(query))
