"""The classical layers around a quantum one: to angles, between, and from expectation values."""

from __future__ import annotations

import torch

from qnn.errors import ArgumentError, unknown_name

ACTIVATIONS: dict[str, type[torch.nn.Module]] = {
    "elu": torch.nn.ELU,
    "gelu": torch.nn.GELU,
    "identity": torch.nn.Identity,
    "relu": torch.nn.ReLU,
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
}


class InputLayer(torch.nn.Module):
    """Features to angles: (2·scale/π)·arctan(π/(2·scale)·(W x + b)), one angle per qubit.

    Near zero an angle is W x + b itself, far away it approaches ±scale: a rotation does not wind around, where equal
    angles would stand for different features, and unlike tanh the slope falls off slowly, so that training goes on.

    Args:
        n_inputs: number of features D.
        n_outputs: number of angles, one per qubit.
        scale: bound of the angles in radians; π uses the whole circle.
    """

    def __init__(self, n_inputs: int, n_outputs: int, *, scale: float = torch.pi) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(n_inputs, n_outputs)
        if not 0 < scale < float("inf"):
            raise ArgumentError(f"`scale` must be a positive number of radians; got {scale!r}. Use torch.pi.")
        self.scale = float(scale)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:  # (..., D) -> (..., n_outputs)
        """Angles in radians."""
        slope = torch.pi / (2 * self.scale)
        return torch.atan(slope * self.linear(inputs)) / slope

    def extra_repr(self) -> str:
        """The range of the angles."""
        return f"scale={self.scale:.4g}"


class HiddenLayer(torch.nn.Module):
    """A fully connected layer with an activation.

    Args:
        n_inputs: number of features coming in.
        n_outputs: number of units.
        activation: name of the activation; see `ACTIVATIONS`.
    """

    def __init__(self, n_inputs: int, n_outputs: int, *, activation: str = "tanh") -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise unknown_name("activation", activation, ACTIVATIONS)
        self.linear = torch.nn.Linear(n_inputs, n_outputs)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:  # (..., n_inputs) -> (..., n_outputs)
        """Activations."""
        return self.activation(self.linear(inputs))


class OutputLayer(torch.nn.Linear):
    """Expectation values to logits or predictions: W z + b."""
