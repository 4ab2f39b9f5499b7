"""The Fourier series that a quantum layer is, from its values on a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from qnn.compression.surrogates.spectrum import Frequencies
from qnn.layers import FourierSurrogate


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
    coefficients = shaped.to(torch.complex128)
    for axis in range(len(sizes)):  # one by one: MKL, which torch calls, transforms at most 7 axes at once
        coefficients = torch.fft.fft(coefficients, dim=axis)
    coefficients = coefficients.reshape(-1, values.shape[1]) / math.prod(sizes)
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
