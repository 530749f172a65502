"""Event sources of any schema -> one sparse concept vector an entity (MetaCon section 3).

    rules.py          a source's columns -> (field, value, weight) of each row
    knowledge.py      meta-paths through the knowledge base
    associations.py   rows -> one weight for each (entity, field, value)
    vocabulary.py     concepts -> ids
    vectors.py        associations + vocabulary -> concept vectors
    stage.py          the stage

Spark SQL expressions only: no Python function runs for a row.
"""

from pipeline.unfold.stage import run

__all__ = ["run"]
