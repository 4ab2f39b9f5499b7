"""Gradients of circuits: the rules, the seam between circuits and autograd, and optimisers made for circuits."""

from __future__ import annotations

from qnn.gradients.metric import fubini_study_metric

__all__ = ["fubini_study_metric"]
