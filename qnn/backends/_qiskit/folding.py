"""Folding and bit flips of circuits that are transpiled already: on the same qubits, in the same gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import RZGate, XGate
from qiskit.exceptions import QiskitError

from qnn.backends._qiskit.binding import BoundCircuit, with_plain_parameters
from qnn.backends._qiskit.placing import Placement
from qnn.backends.base import Executable
from qnn.backends.confusion import flip_circuit
from qnn.circuits.circuit import Circuit
from qnn.circuits.folding import Folding
from qnn.errors import UnsupportedError

_Gates = tuple[tuple[Any, tuple[int, ...]], ...]  # operations, and which of a gate's qubits they act on


@dataclass(frozen=True)
class Site:
    """Where a circuit was placed, so that others can be run on the same qubits.

    Attributes:
        placement: wires on qubits.
        basis_gates: the gates in use.
        make: an executable there, from a circuit and the gates of each of its measurement settings.
        bound: the gates of each measurement setting of the circuit that was placed.
    """

    placement: Placement
    basis_gates: tuple[str, ...]
    make: Callable[[Circuit, Sequence[BoundCircuit]], Executable]
    bound: tuple[BoundCircuit, ...]

    def folded(self, circuit: Circuit, folding: Folding) -> Executable:
        """The circuit that was placed from more gates."""
        found = [folded(each, folding, self.basis_gates) for each in self.bound]
        executable = self.make(circuit, [each for each, _ in found])
        executable.noise_scale = found[0][1]
        return executable

    def flipped(self, circuit: Circuit, wires: Sequence[int], flips: bool) -> Executable:
        """Nothing, or a bit flip on each of `wires`, measured where `circuit` measures them."""
        qubits = tuple(self.placement.qubits[wire] for wire in wires)
        written = QuantumCircuit(self.placement.body.num_qubits)
        for qubit in qubits if flips else ():
            for gate, _ in _in_basis(XGate(), self.basis_gates):
                written.append(gate, [qubit])
        bound = BoundCircuit(written, qubits, (), np.zeros((0, 0)), np.zeros(0), True)
        return self.make(flip_circuit(circuit.n_wires, wires, flips), [bound])


def folded(bound: BoundCircuit, folding: Folding, basis_gates: Sequence[str]) -> tuple[BoundCircuit, float]:
    """The circuit from more gates, and its scale of noise.

    Args:
        bound: a transpiled circuit, basis change included.
        folding: how often gates are repeated.
        basis_gates: the gates that may be used.

    Raises:
        UnsupportedError: the inverse of a gate cannot be made of them.
    """
    gates = [(i.operation, [bound.circuit.find_bit(q).index for q in i.qubits]) for i in bound.circuit.data]
    order, scale = folding.order([len(qubits) for _, qubits in gates])
    circuit = QuantumCircuit(bound.circuit.num_qubits)
    for number, inverted in order:
        operation, qubits = gates[number]
        acting = _inverse(operation, tuple(basis_gates)) if inverted else ((operation, tuple(range(len(qubits)))),)
        for gate, places in acting:
            circuit.append(gate, [qubits[place] for place in places])
    plain = with_plain_parameters(circuit, bound.parameters, bound.qubits)
    matrix, offset = plain.matrix @ bound.matrix, plain.matrix @ bound.offset + plain.offset
    return BoundCircuit(plain.circuit, bound.qubits, plain.parameters, matrix, offset, plain.bindable), scale


def _inverse(operation: Any, basis: tuple[str, ...]) -> _Gates:
    """The inverse of an operation in gates of the basis.

    That of iSWAP = exp(i π/4 (XX + YY)) is iSWAP between two Z on either qubit, which anticommute with the exponent.
    """
    if operation.name == "iswap" and "rz" in basis:
        return (RZGate(np.pi), (0,)), (operation, (0, 1)), (RZGate(np.pi), (0,))
    if operation.params:
        return _in_basis(operation.inverse(), basis)
    return _fixed_inverse(operation.base_class, basis)


@lru_cache(maxsize=256)
def _fixed_inverse(gate: type, basis: tuple[str, ...]) -> _Gates:
    return _in_basis(gate().inverse(), basis)


def _in_basis(operation: Any, basis: tuple[str, ...]) -> _Gates:
    if operation.name in basis:
        return ((operation, tuple(range(operation.num_qubits))),)
    alone = QuantumCircuit(operation.num_qubits)
    alone.append(operation, range(operation.num_qubits))
    try:
        written = transpile(alone, basis_gates=list(basis), optimization_level=1)
    except QiskitError as error:
        raise UnsupportedError(
            f"Folding and calibration need the gate {operation.name} from those of the device, {', '.join(basis)}: "
            f"{str(error).rstrip('.')}. Use another device, or leave `mitigation` out."
        ) from error
    return tuple((i.operation, tuple(written.find_bit(q).index for q in i.qubits)) for i in written.data)
