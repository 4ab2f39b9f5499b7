"""Baselines: the classical opponents, in plain torch; nothing quantum can be imported here."""

from qnn.baselines.catalogue import build_baseline, count_weights, list_baselines

__all__ = ["build_baseline", "count_weights", "list_baselines"]
