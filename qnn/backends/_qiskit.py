"""From a `Circuit` to Qiskit circuits on the qubits of a device, and back to our wire order.

Three steps, each once per circuit: translate with one parameter per slot; place (transpile, then
keep only the qubits that are used); measure (one circuit per setting, with its basis change).
Transpiling turns angles into expressions, which Aer binds one by one in Python; each is an affine
function of the slots, so a fresh parameter takes its place and the affine map is applied to all rows at once.

Qiskit's little-endian order and the transpiler's layout are undone here: everything that leaves
this file is by wire, wire 0 leftmost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Gate, Parameter, ParameterExpression
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target
from scipy import sparse

from qnn.backends._qiskit_gates import append_basis_change, append_gate
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


@dataclass(frozen=True)
class BoundCircuit:
    """A circuit with plain parameters, each an affine function of the angles: matrix @ angles + offset.

    Attributes:
        circuit: the gates of one setting, basis change included.
        qubits: the setting's wires as qubits of `circuit`, in the setting's order.
        parameters: F plain parameters.
        matrix: shape (F, S + R).
        offset: shape (F,), radians.
        bindable: whether Aer can bind the parameters. It leaves those of controlled gates unbound without a word,
            since it asks `is_parameterized` of the gate, which is False there (Aer 0.18 with Qiskit 2).
    """

    circuit: QuantumCircuit
    qubits: tuple[int, ...]
    parameters: tuple[Parameter, ...]
    matrix: np.ndarray
    offset: np.ndarray
    bindable: bool

    def requests(
        self, circuit: QuantumCircuit, angles: np.ndarray, *, repeat: bool
    ) -> tuple[list[QuantumCircuit], list[dict[Parameter, list[float]]]]:
        """What to give to `AerSimulator.run` to execute every row.

        Args:
            circuit: the circuit with its measurement or save instruction.
            angles: shape (N, S + R).
            repeat: whether rows must be executed one by one even where they are all the same.

        Returns:
            Circuits, and the bindings of each. Together they give N results, or one if all rows are the same
            and `repeat` is False.
        """
        if not self.parameters:
            copies = len(angles) if repeat else 1
            return [circuit] * copies, [{}] * copies
        values = angles @ sparse.csr_array(self.matrix.T) + self.offset  # a dense product's last bits depend on N
        if self.bindable:
            return [circuit], [dict(zip(self.parameters, values.T.tolist(), strict=True))]
        rows = [circuit.assign_parameters(dict(zip(self.parameters, row, strict=True))) for row in values.tolist()]
        return rows, [{}] * len(rows)

    def measured(self) -> QuantumCircuit:
        """The circuit with measurements; the first wire is the most significant bit of an outcome."""
        circuit = QuantumCircuit(self.circuit.num_qubits, len(self.qubits))
        circuit.compose(self.circuit, inplace=True)
        circuit.measure(self.qubits[::-1], range(len(self.qubits)))
        return circuit


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
    return _with_plain_parameters(placement.body, placement.columns, tuple(placement.qubits.values()))


def in_setting(
    placement: Placement, setting: Setting, basis_gates: Sequence[str], optimization_level: int
) -> BoundCircuit:
    """The placed circuit followed by the basis change of one measurement setting."""
    circuit = placement.body.copy()
    for wire, letter in setting.basis:
        append_basis_change(circuit, letter, placement.qubits[wire])
    if any(letter != "Z" for _, letter in setting.basis):
        circuit = transpile(circuit, basis_gates=list(basis_gates), optimization_level=min(optimization_level, 1))
    return _with_plain_parameters(circuit, placement.columns, tuple(placement.qubits[wire] for wire in setting.wires))


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


def gate_names(names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that are unitary gates, without measure, reset, delay and control flow."""
    standard = get_standard_gate_name_mapping()
    return tuple(name for name in names if isinstance(standard.get(name), Gate))


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


def _with_plain_parameters(
    circuit: QuantumCircuit, columns: Sequence[Parameter], qubits: tuple[int, ...]
) -> BoundCircuit:
    """Replace every parameter expression by a parameter of its own; equal expressions share one."""
    column_of = {parameter: i for i, parameter in enumerate(columns)}
    known: dict[tuple, Parameter] = {}

    def plain(value: Any) -> Any:
        if not isinstance(value, ParameterExpression):
            return value
        if not value.parameters:
            return float(value)
        return known.setdefault(_affine(value, column_of), Parameter(f"fresh_{len(known)}"))

    rewritten = QuantumCircuit(circuit.num_qubits)
    bindable = True
    for instruction in circuit.data:
        operation = instruction.operation
        if instruction.is_parameterized():
            operation = operation.base_class(*(plain(value) for value in operation.params))
            bindable &= operation.is_parameterized()
        rewritten.append(operation, [circuit.find_bit(q).index for q in instruction.qubits])
    matrix = np.zeros((len(known), len(columns)))
    offset = np.zeros(len(known))
    for row, (terms, constant) in enumerate(known):
        for column, coefficient in terms:
            matrix[row, column] = coefficient
        offset[row] = constant
    return BoundCircuit(rewritten, qubits, tuple(known.values()), matrix, offset, bindable)


def _affine(expression: ParameterExpression, column_of: dict[Parameter, int]) -> tuple:
    """An affine expression as (((column, coefficient), ...), constant)."""
    terms = []
    for parameter in expression.parameters:
        slope = expression.gradient(parameter)
        if isinstance(slope, ParameterExpression) and slope.parameters:
            raise UnsupportedError(
                f"Transpiling must leave angles affine in the circuit's slots; got {expression}. "
                "Compile with optimization_level=0."
            )
        terms.append((column_of[parameter], float(slope)))
    constant = expression.bind(dict.fromkeys(expression.parameters, 0.0))
    return tuple(sorted(terms)), float(constant)


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


def launch(simulator: Any, circuits: list[QuantumCircuit], bindings: list[dict], **options: Any) -> list[Any]:
    """One call of `simulator.run` for all circuits and all rows.

    Returns:
        One result for each circuit and row, circuit by circuit; a single one for a circuit without parameters.

    Raises:
        BackendError: Aer refused or failed.
    """
    try:
        result = simulator.run(circuits, parameter_binds=bindings if any(bindings) else None, **options).result()
    except QiskitError as error:
        raise BackendError(
            f"Qiskit Aer refused the circuits: {str(error).rstrip('.')}. Check the backend's options."
        ) from error
    if not result.success:
        failed = {str(r.status) for r in result.results if not r.success} or {str(result.status)}
        raise BackendError(
            f"Qiskit Aer failed: {'; '.join(sorted(failed)).rstrip('.')}. "
            "Use fewer qubits or another method; `qnn doctor` shows what this machine offers."
        )
    return list(result.results)
