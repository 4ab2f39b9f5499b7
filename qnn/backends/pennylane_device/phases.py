"""The global phase between a gate as PennyLane defines it and as the gate table has it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pennylane as qml

from qnn.circuits.gates import GATES

_STEP = 0.125


@cache
def gate_phase(name: str) -> tuple[float, float]:
    """(slope, constant) with PennyLane's gate(θ) = exp(i(slope·θ + constant)) · product of the table's rotations.

    Found by comparing matrices: the phase of a product of rotations is linear in θ.
    """
    constant = _phase(name, 0.0)
    if not GATES[name].is_parametric:
        return 0.0, float(np.angle(constant))
    slope = np.angle(_phase(name, _STEP) / constant) / _STEP
    return round(float(slope), 12), float(np.angle(constant))


def _phase(name: str, angle: float) -> complex:
    gate = GATES[name]
    wires = list(range(gate.n_wires or 2))
    ours = gate.matrix(angle, len(wires))
    theirs = qml.matrix(_operator(name, angle, wires), wire_order=wires)
    return complex(np.trace(ours.conj().T @ theirs)) / len(ours)


def _operator(name: str, angle: float, wires: list[int]) -> Any:
    with qml.QueuingManager.stop_recording():
        if name.startswith("Adjoint("):
            return qml.adjoint(getattr(qml, name[8:-1]))(wires=wires)
        return getattr(qml, name)(*([angle] if GATES[name].is_parametric else []), wires=wires)
