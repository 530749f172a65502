"""SPARQL SELECT over the knowledge base's triples, compiled to one Spark join plan.

    algebra.py   what a query may consist of
    parse.py     a query (read by rdflib) -> checked algebra; what is not supported is refused by name
    filters.py   FILTER expressions -> Columns; null stands for unbound and for SPARQL's error
    frames.py    bags of solutions as DataFrames, and their joins
    plan.py      algebra -> a bag of solutions

Every value v of the knowledge base is the IRI <v> (docs/decisions/0008-sparql-terms.md).
"""
