"""Bringing any PennyLane operation into the gate table, by PennyLane's own decompositions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.operation import Operator
from pennylane.ops.op_math import Controlled

from qnn.circuits.gates import GATES
from qnn.errors import UnsupportedError

_MAX_DEPTH = 60  # nested decompositions; deeper means that PennyLane runs in a circle
_DROPPED = {"GlobalPhase", "Barrier", "Snapshot", "WireCut"}  # without effect on any measured value
_ALIASES = {"CPhase": "ControlledPhaseShift", "U1": "PhaseShift", "C(PauliX)": "CNOT", "C(PauliZ)": "CZ"}


def table_name(operation: Operator) -> str | None:
    """The name of the gate-table row that `operation` is, or None."""
    if isinstance(operation, Controlled) and not all(operation.control_values):
        return None  # a table gate acts where its controls are 1
    name = _ALIASES.get(operation.name, operation.name)
    gate = GATES.get(name)
    if gate is None or gate.n_wires not in (None, len(operation.wires)):
        return None
    return name if len(operation.parameters) == int(gate.is_parametric) else None


def lower(operation: Operator, depth: int = 0) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    """The gates of the table that `operation` consists of.

    Args:
        operation: any PennyLane operation; its parameters may be tracing tensors.
        depth: nesting so far.

    Yields:
        Name in the gate table, wire labels, and the angle (None for a fixed gate).

    Raises:
        UnsupportedError: the operation has no unitary decomposition.
    """
    if operation.name in _DROPPED:
        return
    if (name := table_name(operation)) is not None:
        parameters = operation.parameters
        yield name, tuple(operation.wires), parameters[0] if parameters else None
        return
    if depth > _MAX_DEPTH:
        raise UnsupportedError(f"{operation.name} does not decompose into known gates. Write it with simpler gates.")
    for step in _decompose(operation):
        yield from lower(step, depth + 1)


def _decompose(operation: Operator) -> list[Operator]:
    if isinstance(operation, (qml.ops.MidMeasure, qml.ops.Conditional)):
        raise UnsupportedError(_advice(operation, "acts in the middle of the circuit on measured values"))
    if isinstance(operation, qml.operation.Channel):
        raise UnsupportedError(_advice(operation, "is a noise channel, not a gate"))
    with qml.QueuingManager.stop_recording():
        if isinstance(operation, qml.ops.Exp) and _is_traced(operation):
            return _pauli_rotations(operation.base, qml.math.real(2j * operation.coeff), operation)
        try:
            return list(operation.decomposition()) if operation.has_decomposition else _from_matrix(operation)
        except (RuntimeError, ImportError):  # PennyLane looks at the value of a parameter, which a traced one has not
            if isinstance(operation, Controlled) and not operation.base.has_generator:
                return [_controlled(operation, step) for step in operation.base.decomposition()]
            if not operation.has_generator:
                raise
            return _from_generator(operation)


def _is_traced(operation: Operator) -> bool:
    return any(isinstance(parameter, torch.Tensor) for parameter in operation.parameters)


def _controlled(operation: Controlled, base: Operator) -> Operator:
    return qml.ctrl(base, control=operation.control_wires, control_values=operation.control_values)


def _from_generator(operation: Operator) -> list[Operator]:
    """U(θ) = exp(iθG) for an operation with one parameter."""
    observable, factor = qml.generator(operation, format="prefactor")
    (angle,) = operation.parameters
    return _pauli_rotations(observable, angle * (-2.0 * float(np.real(factor))), operation)


def _pauli_rotations(observable: Operator, angle: Any, operation: Operator) -> list[Operator]:
    """exp(-i angle/2 · observable) as a product of Pauli rotations, where its words commute."""
    matrix = qml.matrix(observable, wire_order=operation.wires)
    sentence = qml.pauli_decompose(matrix, wire_order=operation.wires, pauli=True)
    words = [word for word in sentence if len(word)]
    if any(not a.commutes_with(b) for a in words for b in words):
        raise UnsupportedError(_advice(operation, "has a generator whose Pauli words do not commute"))
    return [
        qml.PauliRot(angle * float(np.real(sentence[word])), "".join(word.values()), wires=list(word)) for word in words
    ]


def _from_matrix(operation: Operator) -> list[Operator]:
    if not operation.has_matrix or len(operation.wires) > 4:
        raise UnsupportedError(_advice(operation, "has no decomposition into gates"))
    unitary = qml.QubitUnitary(qml.matrix(operation), wires=operation.wires)
    return list(unitary.decomposition())


def _advice(operation: Operator, reason: str) -> str:
    return (
        f"{operation.name} {reason}, so it cannot be part of a circuit here. "
        "Leave it out, or run the function as a PennyLane QNode on a device that supports it, such as default.qubit."
    )
