"""Running a hybrid for its shapes alone: no circuit is executed, and nothing is sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from qnn.errors import ShapeError
from qnn.gradients.quantum_modules import quantum_modules


@contextmanager
def stand_ins(model: torch.nn.Module) -> Iterator[list[torch.nn.Module]]:
    """Inside, the quantum layers of `model`, which are given, are matrices of ones; gradients pass them."""
    layers = list(quantum_modules(model).values())
    try:
        for layer in layers:
            layer.forward = _stand_in(layer)  # type: ignore[method-assign]
        yield layers
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _stand_in(layer: Any) -> Callable[..., torch.Tensor]:
    """A function of the shapes of a quantum layer."""

    def forward(inputs: torch.Tensor | None = None) -> torch.Tensor:
        inputs = torch.zeros(layer.n_inputs) if inputs is None else inputs
        if inputs.shape[-1] != layer.n_inputs:
            raise ShapeError(
                f"`inputs` must end in {layer.n_inputs} features; got {tuple(inputs.shape)}. Keep the width."
            )
        return inputs @ inputs.new_ones(layer.n_inputs, layer.n_outputs)

    return forward
