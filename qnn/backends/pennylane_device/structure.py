"""Tapes as circuits: the structure is read apart from the values, and translated once.

No tracing: a tape knows its values. Two tapes of equal key differ in parameter values only, so that
they share one compiled circuit and can be rows of one call.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator
from pennylane.tape import QuantumScript
from scipy.sparse import issparse

from qnn.backends.base import Backend, Executable
from qnn.backends.pennylane_device.phases import gate_phase
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.gates import GATES
from qnn.circuits.lowering import table_name
from qnn.circuits.observables import Expectation, Measurement, Probabilities, pauli_sum
from qnn.simulation.engine import Engine
from qnn.simulation.program import states_program

IGNORED = frozenset({"Barrier", "Snapshot", "WireCut"})  # without effect on the state
PHASE = "GlobalPhase"
_MATRIX_WIRES = 4  # a Hermitian matrix on more wires has more Pauli words than it has use


@dataclass(frozen=True)
class Reading:
    """What one tape says.

    Attributes:
        key: equal for tapes that differ in parameter values only.
        values: the operations' parameters, in order; numbers, or arrays (N,) where broadcast.
        batched: which of `values` are broadcast.
        batch: N, or None where nothing is broadcast.
    """

    key: Hashable
    values: tuple[Any, ...]
    batched: tuple[bool, ...]
    batch: int | None

    @property
    def n_rows(self) -> int:
        """Rows that the tape needs."""
        return 1 if self.batch is None else self.batch


def read(tape: QuantumScript) -> Reading:
    """Structure and values of a tape."""
    gates: list[tuple] = []
    values: list[Any] = []
    for op in tape.operations:
        data = op.data
        gates.append((op.name, op.wires.labels, len(data)))
        values.extend(data)
    measured = tuple(measurement_key(mp) for mp in tape.measurements)
    batched, batch = (False,) * len(values), None
    if any(getattr(value, "ndim", 0) > 0 for value in values):
        batch = tape.batch_size
        # An unbroadcast state or matrix has axes too.
        batched = tuple(
            op.batch_size is not None and getattr(d, "ndim", 0) > 0 for op in tape.operations for d in op.data
        )
    return Reading((tuple(gates), measured), tuple(values), batched, batch)


def measurement_key(process: Any) -> Hashable:
    """Equal for equal measurements that can be values of a circuit; None for all others."""
    kind = type(process)
    if process.mv is not None or kind not in (qml.measurements.ExpectationMP, qml.measurements.ProbabilityMP):
        return process.wires.labels  # measured on the state by PennyLane
    if process.obs is None:
        return (kind.__name__, process.wires.labels)
    return (kind.__name__, observable_key(process.obs))


def observable_key(observable: Operator) -> Hashable:
    """Structure and values of an observable, matrices to the last bit (PennyLane's hash abbreviates large ones)."""
    own: tuple[Hashable, ...]
    below: Hashable
    if isinstance(observable, qml.ops.SProd):
        own, below = (_bytes(observable.scalar),), observable_key(observable.base)
    elif isinstance(observable, qml.ops.Sum | qml.ops.Prod):
        own, below = (), tuple(observable_key(part) for part in observable.operands)
    else:  # an exponent, control values and the operator within are hyperparameters
        own, below = tuple(_frozen(value) for value in observable.data), _frozen(observable.hyperparameters)
    return (observable.name, observable.wires.labels, own, below)


def _frozen(value: Any) -> Hashable:
    """Equal for equal settings of an observable; what cannot be compared is equal to nothing."""
    if isinstance(value, dict):
        return tuple([(key, _frozen(part)) for key, part in value.items()])
    if isinstance(value, list | tuple):
        return tuple([_frozen(part) for part in value])
    if isinstance(value, Operator):
        return observable_key(value)
    if isinstance(value, qml.wires.Wires):
        return value.labels
    if issparse(value):  # large ones are measured by PennyLane, never constants of a circuit
        return _bytes(value.toarray()) if value.shape[0] <= 2**_MATRIX_WIRES else None
    if isinstance(value, float | complex) or hasattr(value, "__array__") or hasattr(value, "_value"):
        return _bytes(value)  # numbers and tensors; those that autograd follows have a `_value`
    return value if isinstance(value, Hashable) else object()


def _bytes(value: Any) -> Hashable:
    """A number or tensor to the last bit, and whether autodiff follows it: then it is no constant of a circuit."""
    if type(value) is float:
        return value.hex()  # tells -0.0 from 0.0
    array = np.asarray(qml.math.unwrap([value])[0])
    follows = type(value) is not np.ndarray and bool(qml.math.requires_grad(value))
    return (array.shape, array.dtype.str, array.tobytes(), follows)


class Structure:
    """A tape's structure as a circuit.

    Attributes:
        wires: labels in the order of the circuit's wires.
        runs: whether every operation is a gate of the table.
        measurements: what the circuit's values are; None where PennyLane has to measure the state.
    """

    def __init__(self, tape: QuantumScript, backend: Backend) -> None:
        self._backend = backend
        self.wires = _standard_order(tape)
        self.number = {label: i for i, label in enumerate(self.wires)}
        self.runs = all(supported(op) for op in tape.operations)
        self._operations: list[Operation] = []
        self._places: list[int] = []  # of each value among the values: those that are angles
        slopes: list[float] = []
        self._phase = 0.0
        if self.runs:
            for op in tape.operations:
                self._add(op, slopes)
        self._slopes = np.array(slopes)
        self.measurements = self._values_of(tape) if self.runs else None
        self._executables: dict[tuple[bool, ...] | None, Executable] = {}
        self._outcomes: dict[tuple[bool, ...] | None, Executable] = {}
        self._engines: dict[tuple[bool, ...] | None, Engine] = {}

    def _add(self, op: Operator, slopes: list[float]) -> None:
        """Append one operation; `slopes` has an entry for every value, what the global phase grows by with it."""
        name = table_name(op)
        if name is None:
            slopes.extend([-1.0] if op.name == PHASE else [])
            return
        slope, constant = gate_phase(name)
        self._phase += constant
        angle = None
        if GATES[name].is_parametric:
            angle = Slot("rows", len(self._places))
            self._places.append(len(slopes))
            slopes.append(slope)
        self._operations.append(Operation(name, tuple(self.number[w] for w in op.wires), angle))

    def _values_of(self, tape: QuantumScript) -> tuple[Measurement, ...] | None:
        if any(qml.math.requires_grad(d) for mp in tape.measurements if mp.obs is not None for d in mp.obs.data):
            return None  # autodiff follows coefficients, which a circuit has as constants
        found = [circuit_measurement(mp, self.number) for mp in tape.measurements]
        return None if not found or None in found else tuple(m for m in found if m is not None)

    @property
    def n_wires(self) -> int:
        """Wires in use."""
        return max(1, len(self.wires))

    @cached_property
    def angle_places(self) -> np.ndarray:
        """Shape (P,), which of the tape's values are angles, in order."""
        return np.array(self._places, dtype=np.int64)

    def executable(self, shared: tuple[bool, ...] | None) -> Executable:
        """The compiled circuit; `shared` says for every angle whether all rows have the same, None: none of them."""
        if shared not in self._executables:
            assert self.measurements is not None, "PennyLane measures this one"
            self._executables[shared] = self._backend.compile(self._circuit(shared, self.measurements))
        return self._executables[shared]

    def outcomes(self, tape: QuantumScript, shared: tuple[bool, ...] | None) -> tuple[tuple[Any, ...], Executable]:
        """The labels of all measured wires, and the compiled circuit whose values are their outcomes' probabilities."""
        named = qml.wires.Wires.all_wires([mp.wires for mp in tape.measurements])
        wires = self.wires if any(not mp.wires for mp in tape.measurements) else tuple(named)
        if shared not in self._outcomes:
            measurement = Probabilities(tuple(self.number[wire] for wire in wires))
            self._outcomes[shared] = self._backend.compile(self._circuit(shared, (measurement,)))
        return wires, self._outcomes[shared]

    def engine(self, shared: tuple[bool, ...] | None) -> Engine:
        """The engine that gives final states."""
        if shared not in self._engines:
            self._engines[shared] = Engine(states_program(self._circuit(shared, ())))
        return self._engines[shared]

    def phase(self, values: np.ndarray) -> np.ndarray:
        """exp(iφ) by which PennyLane's state differs from the engine's.

        Args:
            values: shape (N, V), all values of every row.

        Returns:
            Shape (N,), complex.
        """
        return np.exp(1j * (values @ self._slopes + self._phase))

    def _circuit(self, shared: tuple[bool, ...] | None, measurements: tuple[Measurement, ...]) -> Circuit:
        if shared is None:
            return Circuit(self.n_wires, tuple(self._operations), measurements, 0, len(self._places))
        slots = _slots(shared)
        operations = tuple(
            Operation(op.gate, op.wires, slots[op.angle.index] if isinstance(op.angle, Slot) else op.angle)
            for op in self._operations
        )
        return Circuit(self.n_wires, operations, measurements, sum(shared), len(shared) - sum(shared))


def supported(op: Operator) -> bool:
    """Whether the engine runs this operation as it is."""
    return table_name(op) is not None or op.name == PHASE or op.name in IGNORED


def circuit_measurement(process: Any, number: dict[Any, int]) -> Measurement | None:
    """The process as a measurement of ours, on numbered wires; None where PennyLane has to measure the state."""
    if process.mv is not None:
        return None
    if type(process) is qml.measurements.ProbabilityMP and process.obs is None and process.eigvals() is None:
        return Probabilities(tuple(number[w] for w in process.wires) or tuple(range(len(number))))
    if type(process) is not qml.measurements.ExpectationMP or process.obs is None or not is_pauli_sum(process.obs):
        return None
    return Expectation(pauli_sum(process.obs.map_wires(number)))


def is_pauli_sum(observable: Operator) -> bool:
    """Whether an expectation value of this is one of a sum of not too many Pauli words."""
    if observable.pauli_rep is not None:
        return True
    if isinstance(observable, qml.ops.SparseHamiltonian) or not observable.has_matrix:
        return False
    return len(observable.wires) <= _MATRIX_WIRES and observable.batch_size is None


def _slots(shared: tuple[bool, ...]) -> list[Slot]:
    count = {"shared": 0, "rows": 0}
    slots = []
    for alike in shared:
        block = "shared" if alike else "rows"
        slots.append(Slot(block, count[block]))  # type: ignore[arg-type]
        count[block] += 1
    return slots


def _standard_order(tape: QuantumScript) -> tuple[Any, ...]:
    """The tape's wires in PennyLane's standard order: ascending where they are numbered, else as they occur."""
    acted = qml.wires.Wires.all_wires([op.wires for op in tape.operations])
    measured = qml.wires.Wires.all_wires([mp.wires for mp in tape.measurements])
    labels = [*acted, *(w for w in measured if w not in acted)]
    n = len(acted)
    if set(labels[:n]) == set(range(n)) and set(labels[n:]) == set(range(n, len(labels))):
        return tuple(range(len(labels)))
    return tuple(labels)
