"""Multi-layer perceptrons, of a sensible size or of a given number of weights."""

from __future__ import annotations

from itertools import pairwise

import torch

MLP_WIDTHS = (64, 32)  # hidden layers of the "mlp" baseline


def mlp(n_inputs: int, n_outputs: int) -> torch.nn.Module:
    """Two hidden layers of 64 and 32 ReLU units."""
    return _perceptron((n_inputs, *MLP_WIDTHS, n_outputs), torch.nn.ReLU)


def matched_mlp(n_inputs: int, n_outputs: int, n_weights: int) -> torch.nn.Module:
    """One hidden tanh layer, as wide as brings the number of trainable scalars nearest to `n_weights`.

    Tanh because a quantum opponent is small: of the four or so hidden units that match it, ReLU lets some
    die, and the opponent would win against a cripple. The choice was made on validation rows.
    """
    return _perceptron((n_inputs, matched_width(n_inputs, n_outputs, n_weights), n_outputs), torch.nn.Tanh)


def matched_width(n_inputs: int, n_outputs: int, n_weights: int) -> int:
    """The hidden width H, at least 1, that brings H (D + C + 1) + C nearest to `n_weights`; of two, the smaller.

    Weights of D inputs to H units, H biases, H to C outputs, C biases. Between two widths lie
    D + C + 1 scalars, so the match is off by at most half of that, unless one unit is too much already.

    Example:
        >>> matched_width(64, 10, 322)  # 4 units: 310 scalars; 5: 385
        4
    """
    per_unit = n_inputs + n_outputs + 1
    narrow = max(1, (n_weights - n_outputs) // per_unit)
    return min(narrow, narrow + 1, key=lambda width: abs(width * per_unit + n_outputs - n_weights))


def _perceptron(widths: tuple[int, ...], activation: type[torch.nn.Module]) -> torch.nn.Module:
    """Linear layers between the given widths, with the activation between them."""
    layers: list[torch.nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [torch.nn.Linear(n_in, n_out), activation()]
    return torch.nn.Sequential(*layers[:-1])
