"""Random Fourier features: some of a circuit's frequencies, drawn at random, fitted by ridge regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from qnn.compression.surrogates.fourier import without_small_terms
from qnn.compression.surrogates.spectrum import Encoding
from qnn.layers import FourierSurrogate

QUERIES = 8  # for each frequency
_NEGLIGIBLE = 1e-3  # an error, in proportion to the outputs, by which a constant may be the better one
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


def shortcoming(
    apart: torch.Tensor, constant: torch.Tensor, truth: torch.Tensor, n_frequencies: int, n_queries: int
) -> str | None:
    """What is wrong where a series is farther from the truth (N, M) than the best constant, and what to do; else None.

    Args:
        apart: shape (N, M), of the series from the truth.
        constant: of the mean of the queries that were not held out.
        truth: what was measured.
        n_frequencies: that were fitted.
        n_queries: in all.
    """
    error, least, size = (float(part.square().mean().sqrt()) for part in (apart, constant, truth))
    if error <= max(least, _NEGLIGIBLE * size):
        return None
    enough = n_queries >= QUERIES * n_frequencies
    advice = (
        "Raise `n_frequencies`, with eight queries for each."
        if enough
        else f"Raise `n_queries` ({n_queries}) or lower `n_frequencies` ({n_frequencies}), to eight queries for each."
    )
    return (
        "must be nearer to it than a constant is; got a root mean square error of "
        f"{error:.3g} at {len(truth)} held-out queries, and {least:.3g} for the mean of the others. {advice}"
    )
