"""Engines: where the cells of a study run. Local processes, Ray, Spark or Dask; one text out, one text back, each.

Nothing is imported here: a worker that starts loads only what it needs.
"""
