"""The benchmark of the state-vector engine beside its peers: `python benchmarks/engine_perf.py --help`."""
