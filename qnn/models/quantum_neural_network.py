"""The hybrid network: classical input layer, quantum hidden layers, classical output layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from qnn._integers import whole
from qnn.errors import ArgumentError, DtypeError, ShapeError
from qnn.layers import HiddenLayer, InputLayer, OutputLayer, QuantumLayer
from qnn.layers.checks import checked_seed
from qnn.training import History, fit


class QuantumNeuralNetwork(torch.nn.Module):
    """Classical input layer → quantum hidden layer(s) → classical output layer, (..., D) ↦ (..., C).

    Features go through classical hidden layers where asked for, become one angle per qubit, pass through one or
    more quantum layers, and the expectation values become outputs (logits, or predictions in a regression).

    Args:
        n_inputs: number of features D.
        n_hidden: width of the classical hidden layer between features and angles, or a list of widths; None or 0
            maps the features to the angles directly.
        n_outputs: number of outputs C: classes, or targets.
        n_qubits: width of the quantum hidden layers.
        n_layers: layers of the ansatz in each of them.
        n_quantum: number of quantum hidden layers in a row.
        seed: of all initial weights and of the sampling; None draws from torch's default generator.
        **layer_options: of every `QuantumLayer`: `backend`, `shots`, `gradient`, `encoding`, `ansatz`, `reupload`,
            `dtype`, `init`, options of the backend.

    Attributes:
        history: what `fit` reported last; None before.

    Example:
        >>> model = QuantumNeuralNetwork(8, None, 3, n_qubits=4, n_layers=2, seed=0)
        >>> model(torch.zeros(5, 8)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        n_inputs: int,
        n_hidden: int | Sequence[int] | None,
        n_outputs: int,
        *,
        n_qubits: int = 4,
        n_layers: int = 3,
        n_quantum: int = 1,
        seed: int | None = None,
        **layer_options: Any,
    ) -> None:
        super().__init__()
        widths = list(n_hidden) if isinstance(n_hidden, Iterable) else [n_hidden or 0]
        widths = [w for w in widths if w != 0]
        for name, value in (("n_inputs", n_inputs), ("n_outputs", n_outputs), ("n_quantum", n_quantum)):
            _check_positive(name, value)
        for width in widths:
            _check_positive("n_hidden", width)
        seed = checked_seed(seed)
        self.n_inputs, self.n_outputs = n_inputs, n_outputs
        self.history: History | None = None
        self._classifies = n_outputs > 1
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            sizes = [n_inputs, *widths]
            layers: list[torch.nn.Module] = [HiddenLayer(a, b) for a, b in zip(sizes, widths, strict=False)]
            width = sizes[-1]
            for index in range(n_quantum):
                layer_seed = None if seed is None else seed + index
                quantum = QuantumLayer(n_qubits, n_layers, seed=layer_seed, **layer_options)
                layers += [InputLayer(width, quantum.n_inputs), quantum]
                width = quantum.n_outputs
            layers.append(OutputLayer(width, n_outputs))
        dtype = next(quantum.parameters()).dtype
        self.network = torch.nn.Sequential(*layers).to(dtype)

    @property
    def quantum_layers(self) -> list[QuantumLayer]:
        """The quantum layers, first to last."""
        return [module for module in self.network if isinstance(module, QuantumLayer)]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:  # (..., D) -> (..., C)
        """Logits, or predictions in a regression.

        Raises:
            ShapeError: the last dimension is not D.
        """
        if inputs.ndim == 0 or inputs.shape[-1] != self.n_inputs:
            raise ShapeError(
                f"`inputs` must end in {self.n_inputs} features to match this network; got shape "
                f"{tuple(inputs.shape)}. Give it the features that it was built for."
            )
        return self.network(inputs)

    def to_backend(self, backend: Any, **options: Any) -> QuantumNeuralNetwork:
        """Run every quantum layer elsewhere; see `QuantumLayer.to_backend`."""
        for layer in self.quantum_layers:
            layer.to_backend(backend, **options)
        return self

    def fit(self, x: Any, y: Any, **options: Any) -> QuantumNeuralNetwork:
        """Train on rows `x` and targets `y`.

        Integer targets are class labels (cross-entropy), real targets a regression (mean squared error). What
        happened is in `history`.

        Args:
            x: shape (N, D), tensor or array.
            y: shape (N,) class labels from 0, or (N,) or (N, C) real targets.
            **options: fields of `qnn.FitConfig`, and `callbacks`.

        Returns:
            The model itself.
        """
        inputs, targets = _tensor(x), _tensor(y)
        if "loss" not in options and "config" not in options:
            options["loss"] = "mse" if targets.is_floating_point() else "cross_entropy"
        self.history = fit(self, (inputs, targets), **options)
        self._classifies = options.get("loss", getattr(options.get("config"), "loss", None)) == "cross_entropy"
        return self

    def predict(self, x: Any) -> Any:
        """Class labels (N,) after training on labels, otherwise outputs (N, C), or (N,) where C is 1.

        Args:
            x: shape (N, D), tensor or array; the result is of the same kind.
        """
        inputs = _tensor(x)
        weight = next(self.parameters())
        was_training = self.training
        self.eval()
        with torch.no_grad():
            outputs = self(inputs.to(device=weight.device, dtype=weight.dtype))
        self.train(was_training)
        if self._classifies:
            outputs = outputs.argmax(dim=-1)
        elif self.n_outputs == 1:
            outputs = outputs.squeeze(-1)
        return outputs if isinstance(x, torch.Tensor) else outputs.cpu().numpy()


def _check_positive(name: str, value: Any) -> None:
    if (whole(value) or 0) < 1:
        raise ArgumentError(f"`{name}` must be a positive integer; got {value!r}. Use 1 or more.")


def _tensor(values: Any) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values
    array = np.asarray(values)
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise DtypeError(
            f"`x` and `y` must be numbers; got an array of dtype {array.dtype}. "
            "Number class labels from 0, for example with numpy.unique(y, return_inverse=True)."
        )
    return torch.as_tensor(array)
