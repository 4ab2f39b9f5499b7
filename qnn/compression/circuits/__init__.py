"""Pruning of circuits: rotations and layers leave, the rest is simplified; gradients that are not worth their cost."""
