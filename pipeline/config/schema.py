"""The whole configuration of a run."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    model_validator,
)

from pipeline.config.adapting import Adapt
from pipeline.config.aligning import Align
from pipeline.config.base import Section
from pipeline.config.comparing import Compare
from pipeline.config.compositions import check_compositions, check_seeds
from pipeline.config.facts import Derive, Facts
from pipeline.config.forms import Derived, derived_sources
from pipeline.config.graphs import Graph
from pipeline.config.learning import Evaluate, Funnel, Model, Score, Simulate, Train
from pipeline.config.names import identifier
from pipeline.config.preparing import Prepare
from pipeline.config.relational import Database
from pipeline.config.segments import LabelTable, Segment, Space
from pipeline.config.sources import KnowledgeBase, Source
from pipeline.config.teaching import Teach
from pipeline.config.tuning import Tune
from pipeline.config.unfolding import Unfold


class Run(Section):
    name: Annotated[str, AfterValidator(identifier)] = "run"
    workdir: str = "out/{name}"
    """Everything the run writes; on a cluster a path that all nodes see. May hold {name}."""
    data: str = "data"
    """What {data} stands for in paths."""


class Spark(Section):
    master: str | None = None
    """None: what spark-submit says, else local[*]."""
    tables: Literal["delta", "parquet"] = "delta"
    shuffle_partitions: int = Field(default=4, ge=1)
    driver_memory: str = "4g"
    settings: dict[str, str] = {}


def _as_list(content: Any) -> Any:
    return [content] if isinstance(content, dict | KnowledgeBase) else content or []


class Config(Section):
    """A run: every stage reads its own section."""

    run: Run = Run()
    spark: Spark = Spark()
    simulate: Simulate | None = None
    funnel: Funnel | None = None
    prepare: Prepare = Prepare()
    sources: list[Source] = []
    knowledge_base: Annotated[list[KnowledgeBase], BeforeValidator(_as_list)] = []
    """One table of triples or several; one may stand without the list's dash."""
    databases: list[Database] = []
    graphs: list[Graph] = []
    facts: list[Facts] = []
    derive: Derive = Derive()
    unfold: Unfold = Unfold()
    label_tables: list[LabelTable] = []
    segments: list[Segment] = []
    chains: list[list[str]] = []
    """Binary segments that happen one after the other, such as [[click, conversion]]."""
    align: Align = Align()
    model: Model = Model()
    teach: Teach = Teach()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    score: Score = Score()
    compare: Compare = Compare()
    adapt: Adapt = Adapt()
    tune: Tune = Tune()

    @property
    def simulates(self) -> bool:
        """Whether the simulate stage has anything to do."""
        return self.simulate is not None or self.funnel is not None

    @model_validator(mode="after")
    def _one_simulation(self) -> Config:
        if self.simulate is not None and self.funnel is not None:
            raise ValueError("simulate and funnel exclude each other: both write {workdir}/events")
        return self

    @model_validator(mode="after")
    def _references(self) -> Config:
        every = [*self.sources, *derived_sources(self.databases, self.graphs, self.facts)]
        for what, names in (
            ("database", [database.name for database in self.databases]),
            ("source", [source.name for source in every]),
            ("label table", [table.name for table in self.label_tables]),
            ("segment", [segment.name for segment in self.segments]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"duplicate {what} name: {', '.join(twice)}; each {what} needs a name of its own")
        sources = {source.name for source in every}
        tables = {table.name for table in self.label_tables}
        for segment in self.segments:
            _known(segment.label.source, sources, f"segment {segment.name}: label source")
            _known(segment.label.table, tables, f"segment {segment.name}: label table")
            if isinstance(segment.sample_space, Space):
                _known(segment.sample_space.source, sources, f"segment {segment.name}: sample_space source")
        for source in self.sources:
            for rule in source.rules:
                if rule.kind == "path" and rule.aggregate == "count" and self._has_weighted_edges:
                    raise ValueError(
                        f"source {source.name}, rule {rule.name}: aggregate count would cut weights of edges "
                        "down to whole numbers; use sum"
                    )
        if self.derive.rules and not self.has_knowledge:
            raise ValueError("derive.rules have nothing to derive from: declare a knowledge_base, graphs or facts")
        check_compositions(self.segments)
        check_seeds(self.segments, self.label_tables)
        _check_chains(self.chains, self.segments)
        if self.align.split.by is not None:
            _known(self.align.split.by.source, sources, "align.split.by: source")
        if self.align.split.key is not None:
            _known(self.align.split.key.source, sources, "align.split.key: source")
        return self

    @model_validator(mode="after")
    def _targets(self) -> Config:
        if self.train.targets == "soft" and self.chains:
            raise ValueError("train.targets: soft knows no chains, whose steps imply labels: leave it out")
        return self

    @field_serializer("sources", mode="wrap")
    def _declared(self, sources: list[Source], handler: SerializerFunctionWrapHandler) -> Any:
        """What a person wrote; the others follow from it."""
        return handler([source for source in sources if not isinstance(source, Derived)])

    def with_derived(self) -> Config:
        """With the sources that databases, graphs and facts are read as. Paths that may go over weighted edges add
        fractions up."""
        derived = derived_sources(self.databases, self.graphs, self.facts)
        sources = [_summing(source) for source in self.sources] if self._has_weighted_edges else self.sources
        return self.model_copy(update={"sources": [*sources, *derived]}) if derived else self

    @property
    def _has_weighted_edges(self) -> bool:
        return any(edges.weight is not None for graph in self.graphs for edges in graph.edges)

    @property
    def has_knowledge(self) -> bool:
        """Whether there is anything to make triples of."""
        return bool(self.knowledge_base or self.graphs or self.facts)


def _summing(source: Source) -> Source:
    """Its path rules without an aggregate add weights up, in place of counting them."""
    rules = [
        rule.model_copy(update={"aggregate": "sum"}) if rule.kind == "path" and rule.aggregate is None else rule
        for rule in source.rules
    ]
    return source.model_copy(update={"rules": rules})


def _known(name: str | None, names: set[str], what: str) -> None:
    if name is not None and name not in names:
        raise ValueError(f"{what} {name!r} is not declared; declared: {', '.join(sorted(names)) or 'none'}")


def _check_chains(chains: list[list[str]], segments: list[Segment]) -> None:
    kinds = {segment.name: segment.kind for segment in segments}
    named = [name for chain in chains for name in chain]
    for chain in chains:
        if len(chain) < 2:
            raise ValueError(f"chains: {chain} has fewer than two segments; write [[click, conversion]]")
    for name in named:
        if named.count(name) > 1:
            raise ValueError(f"chains: {name!r} is named twice; a segment has one place in one chain")
        if kinds and name not in kinds:  # without segments, training on shards as they are: checked there
            nearest = difflib.get_close_matches(name, kinds, n=1, cutoff=0)[0]
            raise ValueError(f"chains: {name!r} is no segment; did you mean {nearest!r}?")
        if kinds.get(name, "binary") != "binary":
            raise ValueError(f"chains: segment {name} is {kinds[name]}; chains are of binary segments")
