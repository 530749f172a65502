"""The models of MetaCon: torch only. Nothing in here imports pyspark, horovod, petastorm or pipeline."""
