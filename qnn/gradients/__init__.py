"""Gradients of circuits: the rules, the seam between circuits and autograd, and optimizers made for circuits."""

from __future__ import annotations

from qnn.gradients.metric import fubini_study_metric
from qnn.gradients.optimizers import QUANTUM_OPTIMIZERS, SPSA, NaturalGradient, Rotosolve

__all__ = ["QUANTUM_OPTIMIZERS", "SPSA", "NaturalGradient", "Rotosolve", "fubini_study_metric"]
