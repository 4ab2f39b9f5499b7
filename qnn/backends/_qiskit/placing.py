"""From a `Circuit` to Qiskit circuits on the qubits of a device, and back to our wire order.

Three steps, each once per circuit: translate with one parameter per slot; place (transpile, then
keep only the qubits that are used); measure (one circuit per setting, with its basis change).

Qiskit's little-endian order and the transpiler's layout are undone here: everything that leaves
this file is by wire, wire 0 leftmost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target

from qnn.backends._qiskit.binding import BoundCircuit, with_plain_parameters
from qnn.backends._qiskit.gates import append_basis_change, append_gate
from qnn.circuits.circuit import Circuit, Slot
from qnn.circuits.settings import Setting
from qnn.errors import BackendError, UnsupportedError

#: What Aer applies directly, without a matrix of its own; no controlled rotations, see `BoundCircuit.bindable`.
SIMULATOR_BASIS = (
    *("x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg", "rx", "ry", "rz", "p", "u"),
    *("cx", "cy", "cz", "swap", "ecr", "rxx", "ryy", "rzz", "ccx", "ccz", "cswap"),
)


@dataclass(frozen=True)
class Placement:
    """A transpiled circuit on the qubits that it uses, numbered from 0.

    Attributes:
        body: the gates, without measurements.
        columns: the parameters of the original angles, in the order of `Angles.dense()`.
        qubits: for each measured wire, the qubit of `body` that carries it in the end.
        physical: for each qubit of `body`, its number on the device.
    """

    body: QuantumCircuit
    columns: tuple[Parameter, ...]
    qubits: dict[int, int]
    physical: tuple[int, ...]


def translate(circuit: Circuit) -> tuple[QuantumCircuit, tuple[Parameter, ...]]:
    """The gates of `circuit` in Qiskit, and the parameter of every slot, shared columns first."""
    columns = tuple(Parameter(f"angle_{i}") for i in range(circuit.n_shared + circuit.n_rows))
    translated = QuantumCircuit(circuit.n_wires)
    for operation in circuit.operations:
        angle: Any = operation.angle
        if isinstance(angle, Slot):
            angle = columns[angle.index + (circuit.n_shared if angle.block == "rows" else 0)]
        append_gate(translated, operation.gate, operation.wires, angle)
    return translated, columns


def place(
    circuit: Circuit,
    measured: Sequence[int],
    *,
    target: Target | None,
    basis_gates: Sequence[str],
    optimization_level: int,
    seed: int,
    compact: bool = True,
) -> Placement:
    """Transpile `circuit` to a device or to basis gates, and keep only the qubits that it uses.

    Args:
        circuit: what to run.
        measured: wires whose final place must be known.
        target: the device with its coupling map; None for any pair of qubits.
        basis_gates: gates to use where there is no target.
        optimization_level: Qiskit's, 0 to 3.
        seed: seed of the transpiler's heuristics.
        compact: whether qubits are numbered anew from 0; a real device wants its own numbers.

    Raises:
        BackendError: the transpiler cannot express the circuit in these gates.
    """
    translated, columns = translate(circuit)
    aim: dict[str, Any] = {"basis_gates": list(basis_gates)} if target is None else {"target": target}
    try:
        transpiled = transpile(translated, optimization_level=optimization_level, seed_transpiler=seed, **aim)
    except QiskitError as error:
        raise BackendError(
            f"The circuit cannot be transpiled to the gates {', '.join(basis_gates)}: {str(error).rstrip('.')}. "
            + ("Use another device." if target is not None else "Use a noise model with a universal set of gates.")
        ) from error
    layout = transpiled.layout
    final = list(range(circuit.n_wires)) if layout is None else layout.final_index_layout()
    body, physical = transpiled, tuple(range(transpiled.num_qubits))
    if compact:
        body, physical = _compact(transpiled, {final[wire] for wire in measured})
    place_of = {qubit: i for i, qubit in enumerate(physical)}
    return Placement(body, columns, {wire: place_of[final[wire]] for wire in measured}, physical)


def unmeasured(placement: Placement) -> BoundCircuit:
    """The placed circuit without a basis change, for primitives that measure by themselves."""
    return with_plain_parameters(placement.body, placement.columns, tuple(placement.qubits.values()))


def in_setting(
    placement: Placement, setting: Setting, basis_gates: Sequence[str], optimization_level: int
) -> BoundCircuit:
    """The placed circuit followed by the basis change of one measurement setting."""
    circuit = placement.body.copy()
    for wire, letter in setting.basis:
        append_basis_change(circuit, letter, placement.qubits[wire])
    if any(letter != "Z" for _, letter in setting.basis):
        circuit = transpile(circuit, basis_gates=list(basis_gates), optimization_level=min(optimization_level, 1))
    return with_plain_parameters(circuit, placement.columns, tuple(placement.qubits[wire] for wire in setting.wires))


def repeatable(bound: BoundCircuit, basis_gates: Sequence[str]) -> BoundCircuit:
    """The same circuit with a parameter at least: primitives take as many rows as there are parameter sets.

    One without gets a rotation about Z on a qubit in |0>, which does nothing, and which devices execute as a change of
    frame.

    Raises:
        UnsupportedError: the device has no such gate.
    """
    if bound.parameters:
        return bound
    row, before = Parameter("row"), QuantumCircuit(bound.circuit.num_qubits)
    name = next((name for name in ("rz", "p", "u1", "u", "u3") if name in basis_gates), None)
    if name is None:
        raise UnsupportedError(
            f"`circuit` must have a parameter to be repeated on a device with the gates {', '.join(basis_gates)}; "
            "got none. Use another device."
        )
    gate = get_standard_gate_name_mapping()[name].base_class
    angles = (0.0, 0.0, row) if name in ("u", "u3") else (row,)
    before.append(gate(*angles), [bound.qubits[0] if bound.qubits else 0])
    n_columns = bound.matrix.shape[1]
    return BoundCircuit(
        before.compose(bound.circuit), bound.qubits, (row,), np.zeros((1, n_columns)), np.zeros(1), bound.bindable
    )


def _compact(circuit: QuantumCircuit, keep: set[int]) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """`circuit` on the qubits that any gate or measurement touches, and their former numbers."""
    number = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    gates = [instruction for instruction in circuit.data if instruction.operation.name != "barrier"]
    used = tuple(sorted(keep.union(number[q] for instruction in gates for q in instruction.qubits)))
    place_of = {old: new for new, old in enumerate(used)}
    compact = QuantumCircuit(len(used))
    for instruction in gates:
        compact.append(instruction.operation, [place_of[number[q]] for q in instruction.qubits])
    return compact, used
