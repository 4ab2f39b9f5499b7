"""Random Fourier features: some of a circuit's frequencies, drawn at random, fitted by ridge regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from qnn.compression.surrogates.fourier import without_small_terms
from qnn.compression.surrogates.spectrum import Encoding
from qnn.layers import FourierSurrogate

_ATTEMPTS = 20  # draws for each frequency that is wanted, before a spectrum counts as exhausted


def draw_frequencies(encodings: Sequence[Encoding], n_inputs: int, n: int, seed: int) -> torch.Tensor:
    """Zero and at most `n` other frequencies of the circuit, no two opposite or equal, shape (K, D), float64.

    Each gate adds nothing with probability 1/2 and else plus or minus one of its gaps, so that a frequency is as
    likely as it is redundant (the tree sampling of Landman et al. 2022).
    """
    draw = np.random.default_rng(seed)
    total = np.zeros((_ATTEMPTS * n, n_inputs))
    for encoding in encodings:
        gaps = draw.choice(encoding.gaps, size=len(total)) * draw.choice([-1.0, 0.0, 0.0, 1.0], size=len(total))
        total += gaps[:, None] * encoding.direction
    total = np.round(total, 9) + 0.0
    sign = np.zeros(len(total))
    for column in total.T:
        sign = np.where(sign == 0, np.sign(column), sign)
    total = (total * sign[:, None])[sign != 0]
    _, first = np.unique(total, axis=0, return_index=True)
    chosen = total[np.sort(first)[:n]]
    return torch.from_numpy(np.concatenate([np.zeros((1, n_inputs)), chosen]))


def ridge_regression(
    frequencies: torch.Tensor, inputs: torch.Tensor, values: torch.Tensor, ridge: float
) -> FourierSurrogate:
    """The series in `frequencies` (K, D) with the least mean square on the queries plus `ridge` |coefficients|².

    Args:
        frequencies: zero first.
        inputs: shape (N, D).
        values: shape (N, M).
        ridge: above 0.
    """
    phases = inputs @ frequencies.T
    features = torch.cat([phases.cos(), phases.sin()[:, 1:]], dim=1)
    penalty = ridge * torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    coefficients = torch.linalg.solve(features.T @ features / len(inputs) + penalty, features.T @ values / len(inputs))
    cosines, sines = coefficients[: len(frequencies)], coefficients[len(frequencies) :]
    return without_small_terms(frequencies, cosines, torch.cat([torch.zeros_like(cosines[:1]), sines]), 0.0)
