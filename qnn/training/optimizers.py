"""Optimizers by name, from torch. Adding one is a row of `OPTIMIZERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from qnn.training.config import FitConfig

Weights = Iterable[torch.nn.Parameter]


def _sgd(weights: Weights, config: FitConfig) -> torch.optim.Optimizer:
    """Stochastic gradient descent, with momentum when asked."""
    return torch.optim.SGD(weights, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay)


def _adam(weights: Weights, config: FitConfig) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015); `weight_decay` is an L2 term in the gradient."""
    return torch.optim.Adam(weights, lr=config.learning_rate, weight_decay=config.weight_decay)


OPTIMIZERS: dict[str, Callable[[Weights, FitConfig], torch.optim.Optimizer]] = {"adam": _adam, "sgd": _sgd}
USES_MOMENTUM = frozenset({"sgd"})
