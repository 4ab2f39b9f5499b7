"""Encodings by name: how a row of inputs enters a register, as PennyLane quantum functions.

An encoding is any ``f(inputs, wires)``. Adding one is adding a row to `ENCODINGS`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pennylane as qml
import torch

from qnn.errors import ArgumentError, unknown_name

Encoding = Callable[[Any, Any], Any]


def angle_encoding(inputs: torch.Tensor, wires: Any) -> None:
    """RX(x_i) on wire i, from |0>; inputs in radians, one feature per wire.

    Not H then RX: on H|0> an RX is only a global phase, and the layer would be blind to its inputs.
    """
    for i, wire in enumerate(wires):
        qml.RX(inputs[..., i], wires=wire)


def basis_encoding(inputs: torch.Tensor, wires: Any) -> None:
    """RX(π·b_i) on wire i: a bit 0 stays |0>, a bit 1 becomes |1>; values between the bits interpolate."""
    for i, wire in enumerate(wires):
        qml.RX(torch.pi * inputs[..., i], wires=wire)


def amplitude_encoding(inputs: torch.Tensor, wires: Any) -> None:
    """Σ_j x_j |j> / ‖x‖, with 2^n features for n wires; a row of zeros has no such state and is refused when run."""
    qml.AmplitudeEmbedding(inputs, wires=wires, normalize=True)


def iqp_encoding(inputs: torch.Tensor, wires: Any, n_repeats: int = 1) -> None:
    """Instantaneous quantum polynomial: H and RZ(x_i) on wire i, then a ZZ rotation by x_i·x_j for each pair i < j.

    The ZZ rotations make products of features, which are hard to compute classically once repeated: more than one
    round by ``encoding=functools.partial(iqp_encoding, n_repeats=2)``. The circuit is that of PennyLane's
    `IQPEmbedding`. Diagonal gates alone move no <Z>: an ansatz that turns the wires must follow.

    References:
        Havlíček et al., Nature 567, 209 (2019), with phases x_i and x_i·x_j.
    """
    places = range(len(wires))
    for _ in range(n_repeats):
        for i in places:
            qml.Hadamard(wires=wires[i])
            qml.RZ(inputs[..., i], wires=wires[i])
        for i, j in combinations(places, 2):
            qml.MultiRZ(inputs[..., i] * inputs[..., j], wires=[wires[i], wires[j]])


ENCODINGS: dict[str, Encoding] = {
    "amplitude": amplitude_encoding,
    "angle": angle_encoding,
    "basis": basis_encoding,
    "iqp": iqp_encoding,
}


def n_features(encoding: Encoding, n_qubits: int) -> int:
    """Number of inputs D that `encoding` takes on `n_qubits` wires: one per wire, or one per amplitude."""
    return 2**n_qubits if encoding is amplitude_encoding else n_qubits


def encoding_named(encoding: str | Encoding) -> Encoding:
    """The encoding of that name; a quantum function ``f(inputs, wires)`` is taken as it is.

    Raises:
        UnknownNameError: no such encoding.
    """
    if isinstance(encoding, str):
        if encoding not in ENCODINGS:
            raise unknown_name("encoding", encoding, ENCODINGS)
        return ENCODINGS[encoding]
    if not callable(encoding):
        raise ArgumentError(
            f"`encoding` must be a name or a quantum function f(inputs, wires); got {encoding!r}. "
            f"Known names: {', '.join(sorted(ENCODINGS))}."
        )
    return encoding
