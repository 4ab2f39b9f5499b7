"""Optimizers by name: those of the training loop, and the quantum ones, which are made for a network."""

from __future__ import annotations

from typing import Any

import torch

from qnn.errors import unknown_name
from qnn.gradients import QUANTUM_OPTIMIZERS
from qnn.training.optimizers import OPTIMIZERS


def optimizer_fields(optimizer: Any, network: torch.nn.Module, learning_rate: float, seed: int) -> dict[str, Any]:
    """The fields of `FitConfig` that say how `network` is optimized.

    Args:
        optimizer: a name of `qnn.FitConfig` or of `qnn.gradients.QUANTUM_OPTIMIZERS`, a callable or an optimizer.
        network: what is trained.
        learning_rate: step size of optimizers by name.
        seed: of quantum optimizers that draw.

    Returns:
        "optimizer", and "learning_rate" where the loop makes the optimizer by it.

    Raises:
        UnknownNameError: no optimizer of that name.
    """
    if not isinstance(optimizer, str):
        return {"optimizer": optimizer}
    if optimizer in OPTIMIZERS:
        return {"optimizer": optimizer, "learning_rate": learning_rate}
    if optimizer not in QUANTUM_OPTIMIZERS:
        raise unknown_name("optimizer", optimizer, [*OPTIMIZERS, *QUANTUM_OPTIMIZERS])
    return {"optimizer": QUANTUM_OPTIMIZERS[optimizer](network, learning_rate, seed)}
