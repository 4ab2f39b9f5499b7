"""Circuits on a device: what becomes of them when they are transpiled, and devices that cannot take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from qnn.backends.registry import resolve
from qnn.circuits.circuit import Circuit
from qnn.errors import ArgumentError, DtypeError, MissingDependencyError
from qnn.gradients.quantum_modules import quantum_modules
from qnn.layers import QuantumLayer

#: A heavy-hex device, to whose gates and couplings circuits are transpiled.
DEVICE = "fake_sherbrooke"


def check_device(device: Any) -> None:
    """Refuse what is no name of a fake device, nor None.

    Raises:
        DtypeError: it is no text.
        ArgumentError: the name of something else.
    """
    advice = f'Use "{DEVICE}".'
    if device is not None and not isinstance(device, str):
        raise DtypeError(
            f"`device` must be the name of one of IBM's fake devices, or None; got {type(device).__name__}. {advice}"
        )
    if device is not None and not device.startswith("fake_"):
        raise ArgumentError(f'`device` must be one of IBM\'s fake devices, or None; got "{device}". {advice}')


def circuits_of(model: torch.nn.Module) -> list[Circuit]:
    """The circuits of all quantum layers of a model."""
    return [layer.circuit for layer in quantum_modules(model).values() if isinstance(layer, QuantumLayer)]


def gates_on(circuits: Sequence[Circuit], device: str | None) -> dict[str, Any]:
    """Gates, depth and two-qubit gates of circuits after transpiling to `device`, and its name.

    Where the device is None or IBM's package is missing, those of the circuits as they are written.

    Raises:
        ArgumentError, DtypeError: as `check_device`.
        UnknownNameError: there is no such fake device.
        CapabilityError: it has fewer qubits than a circuit.
    """
    check_device(device)
    if not circuits:
        return {}
    facts: list[dict[str, Any]] = []
    used = device
    if device is not None:
        try:
            backend = resolve(f"ibm:{device}")
            facts = [backend.compile(circuit.linear()).describe() for circuit in circuits]
        except MissingDependencyError:
            used = None
    if not facts:
        facts = [
            {"depth": c.depth(), "two_qubit_gates": c.n_two_qubit_gates(), "gates": len(c.operations)} for c in circuits
        ]
    return {
        "gates": sum(fact["gates"] for fact in facts) if all("gates" in fact for fact in facts) else None,
        "depth": sum(fact["depth"] for fact in facts),
        "two_qubit_gates": sum(fact["two_qubit_gates"] for fact in facts),
        "device": used,
    }
