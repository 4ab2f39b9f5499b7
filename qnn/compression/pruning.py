"""`qnn.prune`: one door to the pruning of circuits and of the classical parts of a network."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import torch

from qnn.compression.report import CompressionReport
from qnn.errors import unknown_name

PARTS = ("circuit", "classical")
CIRCUIT_METHODS = ("angle", "fisher", "gradient", "layer")


def prune(
    model: torch.nn.Module, data: Any = None, *, method: str = "angle", part: str | None = None, **options: Any
) -> tuple[torch.nn.Module, CompressionReport]:
    """A smaller copy of a model, and what that did to it; the model itself stays as it is.

    Of circuits, trainable rotations leave by "angle", "fisher" or "gradient", or layers of the ansatz by "layer"; see
    `qnn.compression.prune_circuits` for what these take. The methods "weight", "neuron", "channel", "activation",
    "whole-layer" and "l1" are of the classical part; see `qnn.compression.prune_classical`. The other part keeps its
    structure, and without fine-tuning its weights.

    Args:
        model: any torch module.
        data: a task, or a pair (x, y); what it is needed for depends on the method.
        method: how it is decided what leaves.
        part: "circuit" or "classical", of which the method must be; None for the one that it is of.
        **options: of the method, such as `amount`, `threshold`, `fine_tune` and `schedule`.

    Returns:
        The new model, and a report with the measurements before and after.

    Raises:
        UnknownNameError: no such method or part.
        ArgumentError: an option that cannot be used; nothing to prune; nothing would be left.

    Example:
        >>> from qnn import QuantumLayer
        >>> layer = QuantumLayer(n_qubits=2, n_layers=2, seed=0)
        >>> smaller, report = prune(layer, method="angle", amount=1)
        >>> smaller.weights.shape
        torch.Size([3])
    """
    if part is not None and part not in PARTS:
        raise unknown_name("part", part, PARTS)
    if part is None:
        part = "circuit" if method in CIRCUIT_METHODS else "classical"
    methods, function = _of(part)
    if method not in methods:
        known = methods if part == "circuit" else {*CIRCUIT_METHODS, *methods}
        raise unknown_name("pruning method", method, known)
    return function(model, data, method=method, **options)


def _of(part: str) -> tuple[Iterable[str], Any]:
    """The methods of a part, and the function that knows them."""
    if part == "circuit":
        from qnn.compression.circuits.pruning import prune_circuits

        return CIRCUIT_METHODS, prune_circuits
    classical = importlib.import_module("qnn.compression.networks.pruning")
    return classical.METHODS, classical.prune_classical
