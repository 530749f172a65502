"""The simulated world: events, knowledge base, labels, and the probabilities that produced them."""

from pipeline.simulate.job import run

__all__ = ["run"]
