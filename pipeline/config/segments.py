"""What is predicted: segments, their labels and sample spaces."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pipeline.config.base import Section
from pipeline.config.checked import Glob, Name
from pipeline.config.sources import Table


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
    """What is done about a row whose entity has no features: the stage stops, or the row is kept aside and counted."""
