"""Configuration of the data side: sources, knowledge base, unfolding, segments, alignment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pipeline.config.base import Section
from pipeline.config.names import date_as_text, day, glob_pattern, identifier, instant, sql_name, time_zone, window
from pipeline.config.paths import parse_path

Name = Annotated[str, AfterValidator(identifier)]
SqlName = Annotated[str, AfterValidator(sql_name)]
Glob = Annotated[str, AfterValidator(glob_pattern)]
Instant = Annotated[str, BeforeValidator(date_as_text), AfterValidator(instant)]
Day = Annotated[str, BeforeValidator(date_as_text), AfterValidator(day)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Window = Annotated[str, AfterValidator(window)]
Zone = Annotated[str, AfterValidator(time_zone)]


class Table(Section):
    """Where rows are read from. `path` may hold {data} and {workdir}."""

    format: Literal["parquet", "csv", "json", "delta"] = "parquet"
    path: str
    options: dict[str, str] = {}
    """Options of Spark's reader, such as {header: "true", sep: "\\t"}."""
    rename: dict[str, str] = {}
    """Column as it is in the file -> name to use, for columns whose names are awkward in SQL."""
    types: dict[str, str] = {}
    """Column -> Spark SQL type. A value that does not convert sends its row to the quarantine. CSV and JSON values
    are text where nothing is said here."""

    @model_validator(mode="after")
    def _reader_options(self) -> Table:
        for option in self.options:
            if option.lower() in ("mode", "columnnameofcorruptrecord"):
                raise ValueError(f"option {option} is not to be set: malformed records go to the quarantine")
            if option.lower() == "inferschema":
                raise ValueError("option inferSchema is not to be set: later events could change a type; use types")
        return self


class Rule(Section):
    """How a source's rows become concepts `source.rule=value` (MetaCon section 3)."""

    name: Name
    kind: Literal["field", "multi", "pairs", "map", "number", "time", "recency", "path", "sparql", "sql"]
    """field: one value. multi: an array, or a string split by `separator`. map: key -> value pairs.
    pairs: every two values of an array or a split string as one, `a&b` in the order of the alphabet; a mask of a value
    has to name its pairs as well.
    number: log-rounded. time: `part` of the event time. recency: log2 days from the event to the cutoff.
    path: the values that `path` reaches in the knowledge base from `column`.
    sparql: the values that `query`, a SPARQL SELECT over the knowledge base, finds for `column`.
    sql: the entities and values that `query`, any Spark SQL over the sources, returns."""
    column: str | None = None
    """A column or nested field (`device.os`); not needed for time and recency."""
    separator: str | None = None
    part: Literal["hour", "weekday", "month"] = "hour"
    path: str | None = None
    """Hops through the knowledge base, `/` between them, `^` before an inverse one: `made_by/in_topic/^likes`;
    alternatives `a|b`, repeats `a{1,3}`, groups `^(a/b)` (grammar: pipeline/config/paths.py)."""
    path_weight: Literal["count", "binary", "degree"] = "count"
    """What a reached value weighs. count: the number of paths to it. binary: 1. degree: the sum over its paths, a hop
    divided by the edges of its relation that leave the node: where a random walk ends."""
    query: str | None = None
    """sparql: selects ?start (the column's value), ?value and perhaps ?weight (a number; else a value weighs as many
    solutions as it has), or two or three others in this order. sql: returns columns entity and value, perhaps weight (a
    number; else 1) and time. Its tables are the sources by name, only rows before the cutoff, with _entity and _time
    beside their own columns, and knowledge_base (head, relation, tail)."""
    base: float = Field(default=2.0, gt=1)
    """number: values are rounded to whole powers of this base."""
    weight: str | None = None
    """A numeric column whose value is each event's weight (default: 1 an event; for a map, its value when numeric)."""
    aggregate: Literal["count", "sum", "max", "binary", "decay", "last", "distinct"] | None = None
    """How an entity's events make one weight (default: sum where there are weights, else count). last: the concept of
    the latest event that has a value, and no other (of events at the same instant the one whose text comes last).
    distinct: one concept, the number of different values, log-rounded to a power of `base`."""
    half_life: float | None = Field(default=None, gt=0)
    """decay: half-life in days."""
    windows: list[Window] = []
    """Days before the cutoff, such as [7d, 30d]: for each, concepts `source.rule.7d=value` of a field of their own from
    the events in [cutoff - 7 days, cutoff) (and not before unfold.start). None: `source.rule=value` from all."""
    max_concepts: int | None = Field(default=None, ge=1)
    """An entity keeps its so many heaviest concepts of the rule (in each window), of equal ones those of lower id."""

    @model_validator(mode="after")
    def _used(self) -> Rule:
        """An option that the kind of rule would ignore is refused."""
        takes = {
            "field": {"column", "weight"},
            "multi": {"column", "separator", "weight"},
            "pairs": {"column", "separator", "weight"},
            "map": {"column"},
            "number": {"column", "base", "weight"},
            "time": {"part", "weight"},
            "recency": {"weight"},
            "path": {"column", "separator", "path", "path_weight", "weight"},
            "sparql": {"column", "separator", "query", "weight"},
            "sql": {"query"},
        }[self.kind] | ({"base"} if self.aggregate == "distinct" else set())
        optional = {"column", "separator", "part", "path", "path_weight", "query", "base", "weight"}
        ignored = optional & self.model_fields_set - takes
        ignored = {name for name in ignored if getattr(self, name) != type(self).model_fields[name].default}
        if ignored:
            raise ValueError(f"rule {self.name}: kind {self.kind} takes no {', '.join(sorted(ignored))}")
        if self.half_life is not None and self.aggregate != "decay":
            raise ValueError(f"rule {self.name}: half_life is for aggregate decay only")
        if self.weight is not None and self.aggregate in ("count", "binary", "distinct"):
            raise ValueError(f"rule {self.name}: aggregate {self.aggregate} ignores weight; use sum, max or decay")
        return self

    @model_validator(mode="after")
    def _complete(self) -> Rule:
        if self.kind not in ("time", "recency", "sql") and not self.column:
            raise ValueError(f"rule {self.name}: kind {self.kind} needs a column")
        if self.kind == "path" and not self.path:
            raise ValueError(f"rule {self.name}: kind path needs a path, such as made_by/in_topic")
        if self.kind in ("sparql", "sql") and not self.query:
            raise ValueError(f"rule {self.name}: kind {self.kind} needs a query")
        if self.path:
            try:
                parse_path(self.path)
            except ValueError as error:
                raise ValueError(f"rule {self.name}: {error}") from None
        if self.path_weight == "degree" and self.aggregate == "count":
            raise ValueError(f"rule {self.name}: aggregate count ignores path_weight degree; use sum or max")
        if self.aggregate == "decay" and self.half_life is None:
            raise ValueError(f"rule {self.name}: aggregate decay needs a half_life in days")
        if self.aggregate == "last" and self.kind in ("multi", "pairs", "map", "path", "sparql"):
            raise ValueError(f"rule {self.name}: aggregate last is for one value a row, not for kind {self.kind}")
        twice = sorted({one for one in self.windows if self.windows.count(one) > 1})
        if twice:
            raise ValueError(f"rule {self.name}: duplicate window: {', '.join(twice)}")
        return self


class Join(Table):
    """A table of things that events name: its columns are added to each event, null where it has no such key."""

    key: str
    """A column of this name (after `rename`) in both; at most one row a key."""


class Source(Table):
    """An event source of any schema."""

    name: Name
    entity: str
    """The column that names the entity."""
    time: str | None = None
    """The column of the event time; none for a static source (a profile), whose rows count at any cutoff."""
    time_unit: Literal["timestamp", "seconds", "milliseconds"] = "timestamp"
    timezone: Zone | None = None
    """The zone of times that name none, such as UTC or Europe/Berlin. None: such a time is an error."""
    join: list[Join] = []
    """Tables to look events' columns up in, such as the genres of a movie."""
    where: str | None = None
    """A Spark SQL condition: other rows are left out."""
    rules: list[Rule] = []

    @model_validator(mode="after")
    def _rules(self) -> Source:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"duplicate rule name: {', '.join(twice)}; concepts are named after their rule")
        for rule in self.rules:
            timed = rule.kind in ("time", "recency") or rule.aggregate in ("decay", "last") or rule.windows
            if self.time is None and timed and rule.kind != "sql":
                raise ValueError(f"rule {rule.name}: needs event times, but the source declares no time column")
        if self.timezone is not None and (self.time is None or self.time_unit != "timestamp"):
            raise ValueError(f"source {self.name}: timezone is for a time column of unit timestamp")
        return self


class KnowledgeBase(Table):
    """Triples (head, relation, tail)."""

    head: str = "head"
    relation: str = "relation"
    tail: str = "tail"
    constant: str | None = None
    """The relation of all rows, for a table of two columns; `relation` is not read then."""


class Vocabulary(Section):
    min_entities: int = Field(default=5, ge=1)
    """Concepts of fewer entities are dropped (exact vocabulary)."""
    kind: Literal["exact", "hashed"] = "exact"
    bits: int = Field(default=20, ge=4, le=30)
    """hashed: concept ids are xxhash64 into 2^bits."""
    max_share: float = Field(default=1.0, gt=0, le=1)
    """Concepts of more than this share of the entities are dropped (exact vocabulary)."""

    ids: Literal["dense", "stable"] = "dense"
    """Of an exact vocabulary. dense: made anew, 0..V-1 by descending number of entities. stable: concepts of the
    vocabulary that stands keep their ids, whatever became of them, and new ones come after it, so that a model trained
    on it can score what is unfolded later. One run with dense makes a new, compact one."""

    @model_validator(mode="after")
    def _exact(self) -> Vocabulary:
        if self.kind == "hashed" and self.ids == "stable":
            raise ValueError("ids: stable is for the exact vocabulary: a hashed concept has the same id in every run")
        if self.kind == "hashed" and self.max_share < 1:
            raise ValueError("max_share is for the exact vocabulary: a hashed one keeps every concept")
        return self


class DataProfile(Section):
    """What is counted of the data besides the rows, for the report."""

    drift: bool = False
    """Entities, concepts and new concepts by day; rows without a value; drift (PSI) of every field within the feature
    window, and since the run before in the same working folder."""
    top: int = Field(default=50, ge=1, le=500)
    """PSI is over so many most frequent concepts of a field, and the rest."""
    periods: int = Field(default=8, ge=2, le=31)
    """The feature window is cut into so many periods at most, of whole days, each with its own drift."""


class Unfold(Section):
    start: Instant | None = None
    """Features come from [start, cutoff); none: from the first event on."""
    cutoff: Instant | None = None
    """Features are before, labels from the cutoff on; none only where every source is static."""
    cutoffs: list[Instant] = []
    """Several cutoffs in place of `cutoff`, which is then the latest: a row for each entity and cutoff, with the id
    `entity@2026-03-01T00:00:00`, features before it and labels from it on (pipeline/examples.py)."""
    horizon_days: float = Field(default=7, gt=0)
    """Labels come from [cutoff, cutoff + horizon)."""
    transform: Literal["none", "log1p", "tfidf"] = "log1p"
    """Of the aggregated weights; tfidf: log1p times the inverse document frequency in the support."""
    normalise: Literal["none", "field"] = "none"
    """field: an entity's weights of each field are divided by their Euclidean norm, after the transform and the rules'
    max_concepts."""
    max_concepts: int | None = Field(default=None, ge=1)
    """An entity keeps its so many heaviest concepts, by their final weight; of equal ones those of lower id."""
    vocabulary: Vocabulary = Vocabulary()
    max_fanout: int = Field(default=10_000_000, ge=1)
    """A meta-path that would lead this many paths through one node (those that arrive times those that leave) is
    refused, and so is a SPARQL join that would make as many rows of one value: no hub makes the work explode."""
    salt: int = Field(default=8, ge=1)
    """A vocabulary too large to be sent to every executor is joined with this many salts, so that a concept which
    everyone has does not hold a task up."""
    profile: DataProfile = DataProfile()

    @model_validator(mode="after")
    def _several_cutoffs(self) -> Unfold:
        if not self.cutoffs:
            return self
        if list(self.cutoffs) != sorted(set(self.cutoffs)):
            raise ValueError("unfold.cutoffs: each once, in the order of time")
        if self.cutoff not in (None, self.cutoffs[-1]):
            raise ValueError("unfold.cutoffs stands in place of unfold.cutoff: give one of them")
        object.__setattr__(self, "cutoff", self.cutoffs[-1])
        return self


class Label(Section):
    """How a segment's label is found: an expression over a source, a label table, or other segments."""

    source: str | None = None
    expression: str | None = None
    """Spark SQL over the source's rows in [cutoff, cutoff + horizon) (all rows of a static source)."""
    aggregate: Literal["any", "max", "sum", "count", "last"] = "any"
    """How an entity's rows make one label. any: 1 where the condition holds for a row. count: rows for which it holds
    (or, of other expressions, rows with a value). last: the value of the latest row. A binary label is 1 where the
    result is above 0; of a multiclass label max takes the class that comes last in `classes`."""
    table: str | None = None
    """The name of a label table."""
    segment: str | None = None
    """The segment's name in the label table, where it differs."""
    all: list[str] = []
    any: list[str] = []
    none: list[str] = []
    """Composite: binary segments of which all, any and none hold; where several are given each has to be true, so
    `{all: [travel], none: [business]}` is travel and not business. Who has no label of one of them has none here."""

    @property
    def parts(self) -> list[str]:
        """The segments that a composite label is made of; none for other labels."""
        return list(dict.fromkeys([*self.all, *self.any, *self.none]))

    @model_validator(mode="after")
    def _one_kind(self) -> Label:
        ways = [self.table is not None, self.expression is not None, bool(self.parts)]
        if sum(ways) != 1:
            raise ValueError(
                "a label needs one of expression (with source), table, and segments under all, any or none"
            )
        if self.parts:
            if self.source is not None or self.segment is not None or self.aggregate != "any":
                raise ValueError("a composite label (all, any, none) has no source, segment or aggregate")
            return self
        if self.expression is not None and self.source is None:
            raise ValueError("a label expression needs its source")
        if self.expression is not None and self.segment is not None:
            raise ValueError("label.segment names a segment of a label table; an expression has none")
        if self.table is not None and (self.source is not None or self.aggregate != "any"):
            raise ValueError("a label table has neither source nor aggregate")
        return self


class Space(Section):
    """A sample space of its own: entities with a row of any source for which a condition holds."""

    source: str
    condition: str
    """Spark SQL over the source's rows."""
    window: Literal["labels", "features"] = "labels"
    """Which rows: those of [cutoff, cutoff + horizon), or those of [unfold.start, cutoff); all of a static source."""


class Segment(Section):
    """A segment to predict. With `for_each: {value: [a, b]}` one segment a value, `{value}` filled in everywhere."""

    name: str
    kind: Literal["binary", "multiclass", "regression"] = "binary"
    classes: list[str] = []
    """multiclass: the label values in order."""
    label: Label
    sample_space: str | Space = "all"
    """Who is predicted. all: every entity with features. labelled: entities with a row in the label's
    source or table. Else a Spark SQL condition on the label source's rows: entities where it holds for a row; or
    `{source: …, condition: …}`, a condition on another source's rows. Of a composite label all: who has all parts."""
    own: list[Glob] = []
    """Globs of concepts that are this very label."""
    mask: list[Glob] = []
    """Globs of families that determine the label, such as profile.age=*."""
    group: str | None = None
    """A name to average results over (default: niche, mid or large, by positives in the support)."""
    for_each: dict[str, list[str]] = {}

    @model_validator(mode="after")
    def _fitting_label(self) -> Segment:
        if (self.kind == "multiclass") != bool(self.classes):
            raise ValueError(f"segment {self.name}: classes are for kind multiclass, and it needs them")
        if self.kind == "multiclass" and len(set(self.classes)) < max(2, len(self.classes)):
            raise ValueError(f"segment {self.name}: needs at least two classes, each named once")
        if self.label.parts and self.kind != "binary":
            raise ValueError(f"segment {self.name}: a composite label (all, any, none) is of kind binary")
        if self.label.parts and self.sample_space != "all" and not isinstance(self.sample_space, Space):
            raise ValueError(
                f"segment {self.name}: a composite label has no rows of its own to take a sample_space from; leave it "
                "out, or write {source: …, condition: …}"
            )
        fitting = {
            "binary": ("any", "max", "sum", "count", "last"),
            "multiclass": ("max", "last"),
            "regression": ("max", "sum", "count", "last"),
        }[self.kind]
        if self.label.expression is not None and self.label.aggregate not in fitting:
            raise ValueError(
                f"segment {self.name}: label.aggregate {self.label.aggregate} does not make a {self.kind} label; "
                f"choose one of {', '.join(fitting)}"
            )
        return self


class LabelTable(Table):
    """Labels as rows (entity, segment, label)."""

    name: Name
    entity: str = "entity_id"
    segment: str | None = "segment"
    """null: every row is about each segment that names the table."""
    label: str | None = "label"
    """null: a list of positives (seeds of a lookalike segment); everybody else in the sample space is a negative."""
    on_unknown_entity: Literal["fail", "quarantine"] = "fail"


class Pairs(Section):
    """prepare.dataset ml1m: which pairs (user, movie) are taken of the ratings."""

    users: int = Field(default=1000, ge=1)
    ratings: int = Field(default=30, ge=1)
    """At most so many rated movies of a user."""
    negatives: int = Field(default=1, ge=1)
    """So many unrated movies for each rated one."""
    seed: int = 0


class SplitBy(Section):
    """A split that the data brings along: entities whose `column` in `source` is one of `query` are the query split."""

    source: str
    column: str
    query: list[str]


class SplitKey(Section):
    """A split by hash of a column in place of the entity: those of the same value are in the same split."""

    source: str
    column: str


class Split(Section):
    query: Fraction = 1 / 3
    validation: Fraction = 0.1
    """Share of the support that becomes validation."""
    seed: int = 0
    by: SplitBy | None = None
    key: SplitKey | None = None
    """Entities that belong together, such as the pairs (user, item) of one user, are in one split. An entity without a
    value stands for itself."""

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        if self.by is not None and self.key is not None:
            raise ValueError("by and key exclude each other: by brings the query split along, key is hashed for one")
        return self


class Masks(Section):
    implication: bool = True
    """Test every concept for implying a label."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Family-wise error: a concept counts as implying when chance purity < alpha / vocabulary size."""
    near_purity: float = Field(default=0.9, gt=0, le=1)
    """Concepts of whose carriers at least this share are positive, by no chance, and that no mask holds back are
    listed in the table `near_deterministic`, for a person to judge."""
    near_carriers: int = Field(default=20, ge=1)
    """So many carriers in the support make a concept worth listing."""


class Shards(Section):
    rows_per_group: int = Field(default=8192, ge=1)
    rows_per_file: int = Field(default=262144, ge=1)
    seed: int = 0


class Align(Section):
    split: Split = Split()
    masks: Masks = Masks()
    shards: Shards = Shards()
    on_degenerate: Literal["skip", "fail"] = "fail"
    """A segment with no positives or only one class in the support: leave it out, or stop."""
