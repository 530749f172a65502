"""The shard format (docs/ARCHITECTURE.md, Contracts): rows of sparse concept vectors with their task pairs.

    codec.py       binary Parquet columns ↔ flat numpy arrays with row offsets
    manifest.py    manifest.json: what stands in a shard folder, read with checks
    writer.py      files of exact row groups; a whole shard folder from numpy data
    order.py       the reading order, a pure function of (manifest, seed, epoch)
    readers.py     row groups through pyarrow or petastorm, the same either way
    dataset.py     `open_shards`: tasks, masks, fields and vocabulary of a shard folder
    batches.py     `epoch_batches` for training, `scan_batches` and `load_csr` for evaluation
    prefetch.py    an iterator run ahead in a background thread

codec, manifest and writer run on Spark executors: they import neither torch nor petastorm.
"""
