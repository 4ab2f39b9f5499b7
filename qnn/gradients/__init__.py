"""Gradients of circuits: the rules, and the seam between circuits and torch's autograd."""
