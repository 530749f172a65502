"""The stages of MetaCon, in the order of the data; everything that touches Spark, files or Horovod."""
