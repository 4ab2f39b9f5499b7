"""Pruning of the classical parts of a network: weights, neurons and channels, whole layers."""
