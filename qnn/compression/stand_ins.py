"""Running a hybrid for its shapes alone: no circuit is executed, and nothing is sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from qnn.compression.copying import deep_copy
from qnn.errors import ShapeError
from qnn.gradients.quantum_modules import quantum_modules


def shapes_of(model: torch.nn.Module) -> torch.nn.Module:
    """A copy of `model` whose quantum layers are matrices of ones, without their hooks; `model` is not touched."""
    made = deep_copy(model)
    for module in made.modules():
        module._compiled_call_impl = None  # which calls the module that it was compiled for
    for layer in quantum_modules(made).values():
        layer._forward_hooks.clear()
        layer._forward_pre_hooks.clear()
        layer.forward = _stand_in(layer)  # type: ignore[method-assign]
    return made


@contextmanager
def stand_ins(model: torch.nn.Module) -> Iterator[list[torch.nn.Module]]:
    """Inside, the quantum layers of `model`, which are given, are matrices of ones; gradients pass them.

    It is for models that nobody else has; see `shapes_of` for others.
    """
    layers = list(quantum_modules(model).values())
    before = [vars(layer).get("forward") for layer in layers]
    try:
        for layer in layers:
            layer.forward = _stand_in(layer)  # type: ignore[method-assign]
        yield layers
    finally:
        for layer, own in zip(layers, before, strict=True):
            vars(layer).pop("forward", None)
            if own is not None:
                layer.forward = own


def _stand_in(layer: Any) -> Callable[..., torch.Tensor]:
    """A function of the shapes of a quantum layer, which takes what a forward of a subclass may take further."""

    def forward(inputs: torch.Tensor | None = None, *_: Any, **further: Any) -> torch.Tensor:
        if inputs is None:
            named = (value for value in further.values() if isinstance(value, torch.Tensor) and value.ndim)
            inputs = next(named, torch.zeros(layer.n_inputs))
        if inputs.shape[-1] != layer.n_inputs:
            raise ShapeError(
                f"`inputs` must end in {layer.n_inputs} features; got {tuple(inputs.shape)}. Keep the width."
            )
        return inputs @ inputs.new_ones(layer.n_inputs, layer.n_outputs)

    return forward
