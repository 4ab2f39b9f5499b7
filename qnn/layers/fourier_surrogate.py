"""A trigonometric polynomial as a torch module: what a quantum layer leaves when its circuit is not needed any more."""

from __future__ import annotations

import torch

from qnn.errors import ShapeError


class FourierSurrogate(torch.nn.Module):
    """Σ_k cos(ω_k·x) a_k + sin(ω_k·x) b_k, (..., D) ↦ (..., M): a quantum layer without a circuit.

    It is differentiable by its inputs, has buffers and no parameters, and computes in their dtype, which is float64
    unless it is changed by ``.float()``.

    Attributes:
        frequencies: ω, shape (K, D).
        cosines: a, shape (K, M).
        sines: b, shape (K, M).

    Shape:
        - inputs: (..., D).
        - output: (..., M), in the dtype of the inputs.

    Example:
        >>> FourierSurrogate(2, 5, 3)(torch.zeros(7, 2)).shape
        torch.Size([7, 3])
    """

    frequencies: torch.Tensor  # shape: (K, D)
    cosines: torch.Tensor  # shape: (K, M)
    sines: torch.Tensor  # shape: (K, M)

    def __init__(self, n_inputs: int, n_frequencies: int, n_outputs: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.zeros(n_frequencies, n_inputs, dtype=torch.float64))
        for name in ("cosines", "sines"):
            self.register_buffer(name, torch.zeros(n_frequencies, n_outputs, dtype=torch.float64))

    @classmethod
    def of(cls, frequencies: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> FourierSurrogate:
        """The series with these frequencies (K, D) and coefficients (K, M)."""
        series = cls(frequencies.shape[1], len(frequencies), cosines.shape[1]).to(frequencies.device)
        series.frequencies, series.cosines, series.sines = frequencies, cosines, sines
        return series

    @property
    def n_inputs(self) -> int:
        """D, features of a row."""
        return self.frequencies.shape[1]

    @property
    def n_outputs(self) -> int:
        """M, values of a row."""
        return self.cosines.shape[1]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:  # (..., D) -> (..., M)
        """The values of every row.

        Raises:
            ShapeError: the last dimension is not D.
        """
        if inputs.ndim == 0 or inputs.shape[-1] != self.n_inputs:
            raise ShapeError(
                f"`inputs` must end in {self.n_inputs} features to match this surrogate; got shape "
                f"{tuple(inputs.shape)}. Give it the features of the layer that it was made of."
            )
        phases = inputs.to(self.frequencies.dtype) @ self.frequencies.T
        values = phases.cos() @ self.cosines + phases.sin() @ self.sines
        return values.to(inputs.dtype) if inputs.is_floating_point() else values

    def extra_repr(self) -> str:
        """Sizes, for ``print(model)``."""
        return f"{self.n_inputs} inputs -> {self.n_outputs} outputs, {len(self.frequencies)} frequencies"
