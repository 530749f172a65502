"""Event sources of any schema -> one sparse concept vector an entity (MetaCon section 3).

    fields.py         rules with a number; concepts as 64-bit keys
    rules.py          a source's columns -> the values of a row, and what they weigh
    knowledge.py      meta-paths through the knowledge base
    counts.py         rows -> keys of each entity, whose runs are counts
    latest.py         the aggregates last and distinct, whose concept all events of an entity decide on
    associations.py   rows -> one weight for each entity and key, by any aggregate
    unite.py          both, of all sources
    inputs.py         what the stage unfolds: the rows of all sources
    vocabulary.py     keys -> names and ids
    stable.py         a vocabulary that keeps its ids from run to run
    vectors.py        associations + vocabulary -> concept vectors
    caps.py           norms of fields, the heaviest concepts of a rule and of an entity
    profile.py        counts for the report
    stage.py          the stage

Spark SQL expressions only: no Python function runs for a row.
"""

from pipeline.unfold.stage import run

__all__ = ["run"]
