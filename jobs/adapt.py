"""Segments go on from the trained model: `python -m jobs.adapt --config … --set 'adapt.segments=[a, b]'`."""

from pipeline.adapt import run
from pipeline.entry import main

if __name__ == "__main__":
    main("Adapt single segments of the trained model to fresh shards; the others keep their scores.", run)
