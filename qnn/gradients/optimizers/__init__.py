"""Optimizers made for circuits, as optimizers of torch: quantum weights by their rule, classical parameters by Adam.

Those with `needs_closure = True` evaluate the loss several times a step. Their `step(closure)` takes a function that
returns the loss of the batch, and that zeroes and computes the gradients where they are enabled:

    def closure():
        loss = loss_function(model(x), y)
        if torch.is_grad_enabled():
            optimizer.zero_grad()
            loss.backward()
        return loss
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from qnn.gradients.optimizers.natural_gradient import NaturalGradient
from qnn.gradients.optimizers.rotosolve import Rotosolve
from qnn.gradients.optimizers.split import SplitOptimizer
from qnn.gradients.optimizers.spsa import SPSA

__all__ = ["QUANTUM_OPTIMIZERS", "SPSA", "NaturalGradient", "Rotosolve", "SplitOptimizer"]


def _natural_gradient(model: torch.nn.Module, learning_rate: float, seed: int) -> SplitOptimizer:
    return NaturalGradient(model, lr=learning_rate, classical=partial(torch.optim.Adam, lr=learning_rate))


def _spsa(model: torch.nn.Module, learning_rate: float, seed: int) -> SplitOptimizer:
    return SPSA(model, lr=learning_rate, seed=seed, classical=partial(torch.optim.Adam, lr=learning_rate))


def _rotosolve(model: torch.nn.Module, learning_rate: float, seed: int) -> SplitOptimizer:
    """Of degree 2: losses of supervised learning are not linear, and squared errors of linear heads are of degree 2."""
    return Rotosolve(model, degree=2, classical=partial(torch.optim.Adam, lr=learning_rate))


QUANTUM_OPTIMIZERS: dict[str, Callable[[torch.nn.Module, float, int], SplitOptimizer]] = {
    "natural-gradient": _natural_gradient,
    "rotosolve": _rotosolve,
    "spsa": _spsa,
}
"""By name: (model, learning rate, seed) ↦ optimizer; Adam with that learning rate for classical parameters."""
