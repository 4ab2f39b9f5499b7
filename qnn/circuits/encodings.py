"""Encodings by name: how a row of inputs enters a register, as PennyLane quantum functions.

An encoding is any ``f(inputs, wires)``. Adding one is adding a row to `ENCODINGS`.
"""

from __future__ import annotations

from collections.abc import Callable
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


ENCODINGS: dict[str, Encoding] = {"angle": angle_encoding, "basis": basis_encoding}


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
