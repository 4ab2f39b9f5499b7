"""Names, qubits and durations of gates."""

from __future__ import annotations

from collections.abc import Sequence

from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target


def gate_names(names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that are unitary gates, without measure, reset, delay and control flow."""
    standard = get_standard_gate_name_mapping()
    return tuple(name for name in names if isinstance(standard.get(name), Gate))


def gates_of(circuit: QuantumCircuit) -> list[tuple[str, tuple[int, ...]]]:
    """Name and qubits of every instruction."""
    return [
        (instruction.operation.name, tuple(circuit.find_bit(q).index for q in instruction.qubits))
        for instruction in circuit.data
    ]


def duration_of(circuit: QuantumCircuit, target: Target) -> float | None:
    """Seconds of one shot, along the longest path; None where the device does not say how long its gates take."""
    try:
        return float(circuit.estimate_duration(target))
    except QiskitError:
        return None


def instruction_duration(target: Target, name: str, qubits: Sequence[int]) -> float:
    """Seconds of one instruction on the slowest of `qubits`; 0 where the device does not say."""
    if name not in target.operation_names:
        return 0.0
    found = [target[name].get((qubit,)) for qubit in qubits]
    return max([0.0, *(each.duration for each in found if each is not None and each.duration is not None)])
