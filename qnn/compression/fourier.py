"""A trigonometric polynomial as a torch module, and the one that a quantum layer is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from qnn.compression.spectrum import Frequencies
from qnn.errors import ShapeError
from qnn.models.bundle.fields import Value
from qnn.models.bundle.kinds import KINDS, Kind


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


def grid(frequencies: Sequence[Frequencies]) -> torch.Tensor:
    """Evenly spaced places in the period of each input, all combinations, shape (N, D), float64."""
    axes = [torch.arange(f.n_queries, dtype=torch.float64) * (f.period / f.n_queries) for f in frequencies]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(axes))


def series_of(frequencies: Sequence[Frequencies], values: torch.Tensor, tolerance: float) -> FourierSurrogate:
    """The series through the values (N, M) on the grid, without its smallest terms.

    Of the frequencies ω and -ω one is kept: c e^{iωx} + c* e^{-iωx} = 2 Re c cos ωx - 2 Im c sin ωx.

    Args:
        frequencies: of each input.
        values: in the order of `grid`.
        tolerance: the largest sum of the amplitudes of terms that are left out, which bounds the error everywhere.
    """
    sizes = [f.n_queries for f in frequencies]
    shaped = values.detach().double().reshape(*sizes, values.shape[1])
    coefficients = torch.fft.fftn(shaped, dim=list(range(len(sizes)))).reshape(-1, values.shape[1]) / math.prod(sizes)
    numbers = [np.fft.fftfreq(n, 1.0 / n).round().astype(int) for n in sizes]
    orders = np.stack(np.meshgrid(*numbers, indexing="ij"), axis=-1).reshape(-1, len(sizes))
    kept = torch.from_numpy(_first_positive(orders)).to(values.device)
    units = torch.tensor([f.unit for f in frequencies], dtype=torch.float64, device=values.device)
    omegas = torch.from_numpy(orders).to(values.device).double() * units
    twice = torch.where(omegas.any(dim=1), 2.0, 1.0)[:, None]
    cosines, sines = twice * coefficients.real, -twice * coefficients.imag
    return without_small_terms(omegas[kept], cosines[kept], sines[kept], tolerance)


def without_small_terms(
    frequencies: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor, tolerance: float
) -> FourierSurrogate:
    """The series without its smallest terms, whose amplitudes sum up to `tolerance` at most; one term is left."""
    amplitudes = torch.hypot(cosines, sines).amax(dim=1)
    order = torch.argsort(amplitudes)
    large = order[amplitudes[order].cumsum(dim=0) > tolerance]
    kept = (large if len(large) else order[-1:]).sort().values
    return FourierSurrogate.of(frequencies[kept], cosines[kept], sines[kept])


def _first_positive(orders: np.ndarray) -> np.ndarray:
    """Which rows have a positive number first, after zeros, or are zero; shape (N,)."""
    sign = np.zeros(len(orders), dtype=int)
    for column in orders.T:
        sign = np.where(sign == 0, np.sign(column), sign)
    return sign >= 0


def _options(series: FourierSurrogate) -> dict[str, Any]:
    return {"n_inputs": series.n_inputs, "n_frequencies": len(series.frequencies), "n_outputs": series.n_outputs}


KINDS["FourierSurrogate"] = Kind(
    "FourierSurrogate",
    FourierSurrogate,
    _options,
    FourierSurrogate,
    dict.fromkeys(("n_inputs", "n_frequencies", "n_outputs"), Value.whole),
)
