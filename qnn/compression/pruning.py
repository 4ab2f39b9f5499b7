"""`qnn.prune`: one door to the pruning of circuits and of the classical parts of a network."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import Any

import torch

from qnn.compression.measurement.report import CompressionReport
from qnn.compression.options import check_module, check_options, options_of
from qnn.errors import ArgumentError, UnknownNameError, unknown_name

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
        DtypeError: `model` is no module.
        UnknownNameError: no such method or part, or no such option of the method.
        ArgumentError: an option that cannot be used; nothing to prune; nothing would be left.

    Example:
        >>> from qnn import QuantumLayer
        >>> layer = QuantumLayer(n_qubits=2, n_layers=2, seed=0)
        >>> smaller, report = prune(layer, method="angle", amount=1)
        >>> smaller.weights.shape
        torch.Size([3])
    """
    check_module(model)
    return pruning_by(method, part, options)(model, data, method=method, **options)


def pruning_by(method: Any, part: Any, options: Mapping[str, Any]) -> Any:
    """The function that prunes by `method`, which has these options.

    Raises:
        UnknownNameError, ArgumentError: no such method, part or option.
    """
    if part is not None and part not in PARTS:
        raise unknown_name("part", part, PARTS)
    mine = "circuit" if method in CIRCUIT_METHODS else "classical"
    methods, function = _of(part or mine)
    if method not in methods:
        raise _wrong_method(method, methods, part)
    _check_options(options, method, mine)
    return function


def _wrong_method(method: Any, methods: Collection[str], part: str | None) -> UnknownNameError:
    """The error for a method that is of no part, or of the other one."""
    others, _ = _of("classical" if part == "circuit" else "circuit")
    if method not in others:
        return unknown_name("pruning method", method, methods if part is not None else {*methods, *others})
    return UnknownNameError(
        f'`method` must be one of part="{part}", {", ".join(methods)}; got "{method}", which is of the other part. '
        "Leave `part` out, or name one of these."
    )


def _check_options(options: Mapping[str, Any], method: str, part: str) -> None:
    """Refuse options that the method does not have, and say so of those that methods of the other part have."""
    (_, function), (others, other) = (_of(name) for name in (part, *(p for p in PARTS if p != part)))
    known = options_of(function)
    for name, value in options.items():
        if name not in known and name in options_of(other):
            raise ArgumentError(
                f'`{name}` must be left out for method="{method}"; got {value!r}. It is an option of '
                f"{', '.join(others)}; use one of {', '.join(option for option in known if option != 'method')}."
            )
    check_options(options, function, f'method="{method}"')


def _of(part: str) -> tuple[Collection[str], Any]:
    """The methods of a part, and the function that knows them."""
    if part == "circuit":
        from qnn.compression.circuits.pruning import prune_circuits

        return CIRCUIT_METHODS, prune_circuits
    classical = importlib.import_module("qnn.compression.networks.pruning")
    return classical.METHODS, classical.prune_classical
