"""PennyLane quantum functions with values for their arguments, as a circuit and its angles.

Nothing is traced: the function runs once with the values, so that it may look at them. Parameters with a
leading dimension are PennyLane's broadcasting, and become rows.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.measurements import CountsMP, ExpectationMP, MeasurementProcess, ProbabilityMP, SampleMP, VarianceMP
from pennylane.operation import Operator
from pennylane.tape import QuantumScript

from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.lowering import lower
from qnn.circuits.observables import Measurement, Probabilities, measurement_from
from qnn.circuits.recording import recorded
from qnn.errors import ArgumentError, NotFiniteError, QnnError, ShapeError, UnsupportedError

_Step = tuple[str, tuple[Any, ...], Any]  # a gate of the table, wire labels, angle


@dataclass(frozen=True)
class TapeProgram:
    """What a quantum function does at given values.

    Attributes:
        circuit: its gates with every angle a slot of the rows block, and what it measures; nothing if it does not say.
        angles: shape (N, R), radians.
        batch: N where parameters are broadcast, else None (then there is one row).
        labels: the wires as the function calls them, in the order of the circuit's wires.
        shots: those that it was given, or None.
        sampled: whether it returns samples or counts, which need shots.
        bare: whether it returns one measurement of an observable, not in a list.
    """

    circuit: Circuit
    angles: np.ndarray
    batch: int | None
    labels: tuple[Any, ...]
    shots: int | None
    sampled: bool
    bare: bool

    def measurement(self, item: Any) -> Measurement:
        """A PennyLane observable or measurement on the function's own wires as one on those of the circuit."""
        return _measurement(item, self.labels)


def is_quantum_function(source: Any) -> bool:
    """Whether `read_tape` takes it: a QNode, a quantum script, or any function."""
    return isinstance(source, QuantumScript) or inspect.isroutine(source) or isinstance(source, qml.QNode)


def read_tape(source: Any, values: Mapping[str, Any]) -> TapeProgram:
    """Run a quantum function once, and keep its gates and angles.

    Args:
        source: a QNode, a PennyLane quantum function, or a quantum script.
        values: the function's arguments by name, as it takes them; arrays broadcast by PennyLane's own rules.

    Raises:
        ArgumentError: arguments are missing or unknown, or not what the function takes, or a script is given some.
        ShapeError: an argument is an array of no rows.
        NotFiniteError: an angle is NaN or infinite.
        CaptureError: the function returns something else than measurements.
        UnsupportedError: an operation, a measurement or a QNode's transform that cannot be expressed.
    """
    with _values_named(values):
        tape, listed = recorded(source, values)
        labels = _labels(source, tape)
        operations, columns = _gates(tape, labels)
        batch = tape.batch_size
        angles = _table(columns, batch, "parameters" if values else "circuit")
    circuit = Circuit(max(1, len(labels)), operations, (), 0, len(columns))
    measured = tuple(_measurement(process, labels) for process in tape.measurements)
    return TapeProgram(
        circuit.with_measurements(measured),
        angles,
        batch,
        labels or (0,),
        _shots(tape),
        sampled=any(isinstance(process, CountsMP | SampleMP) for process in tape.measurements),
        bare=len(measured) == 1 and not listed,
    )


@contextmanager
def _values_named(values: Mapping[str, Any]) -> Iterator[None]:
    """Say that it was the values which the function, an operation or the rows of all operations refused."""
    try:
        yield
    except QnnError:
        raise
    except (TypeError, ValueError) as error:
        if not values:
            raise ArgumentError(
                f"`circuit` must be a function or script that PennyLane takes; got the error: {error}. Correct it."
            ) from error
        shown = ", ".join(f"{name}: {_short(value)}" for name, value in values.items())
        raise ArgumentError(
            f"`parameters` must be values that the quantum function takes; got {shown} ({error}). Give it real "
            "numbers, or arrays with one leading dimension for many sets."
        ) from error


def _short(value: Any) -> str:
    shape = tuple(getattr(value, "shape", ()))
    return f"an array of shape {shape}" if shape else reprlib.repr(value)


def _gates(tape: QuantumScript, labels: Sequence[Any]) -> tuple[tuple[Operation, ...], list[np.ndarray]]:
    """The gates, and the angle of each slot, shape () or (N,)."""
    number = {label: i for i, label in enumerate(labels)}
    operations: list[Operation] = []
    columns: list[np.ndarray] = []
    for operator in tape.operations:
        for name, wires, angle in _lowered(operator):
            slot = None
            if angle is not None:
                slot = Slot("rows", len(columns))
                columns.append(_numbers(angle))
            operations.append(Operation(name, tuple(number[label] for label in wires), slot))
    return tuple(operations), columns


def _table(columns: Sequence[np.ndarray], batch: int | None, argument: str) -> np.ndarray:
    """Angles (N, R); `argument` is where they come from."""
    if batch == 0:
        raise ShapeError(f"`{argument}` must have at least one set of values; got an array of none. Give one or more.")
    angles = np.zeros((1 if batch is None else batch, len(columns)))
    for i, column in enumerate(columns):
        angles[:, i] = column
    if len(bad := np.argwhere(~np.isfinite(angles))):
        row, slot = bad[0]
        raise NotFiniteError(
            f"`{argument}` must give every angle a finite value; got {angles[row, slot]} for angle {slot} in row "
            f"{row}. Look where it comes from."
        )
    return angles


def _labels(source: Any, tape: QuantumScript) -> tuple[Any, ...]:
    """Wires of the device if it names some, then those in use: ascending if they are numbers, else as they occur."""
    used = qml.wires.Wires.all_wires([*(op.wires for op in tape.operations), *(m.wires for m in tape.measurements)])
    labels = list(used)
    if all(isinstance(label, int) for label in labels):
        labels.sort()
    device = getattr(source, "device", None)
    own = [] if device is None or device.wires is None else list(device.wires)
    return tuple(own + [label for label in labels if label not in own])


def _lowered(operator: Operator) -> Iterator[_Step]:
    """The gates of the table that an operator consists of; angles (N,) where it is broadcast."""
    if operator.batch_size is None:
        yield from lower(operator)
        return
    try:
        steps = list(lower(operator))
    except Exception:  # a decomposition of PennyLane that was written for single values
        steps = _row_by_row(operator)
    yield from steps


def _row_by_row(operator: Operator) -> list[_Step]:
    tapes, _ = qml.transforms.broadcast_expand(QuantumScript([operator]))
    rows = [list(lower(tape.operations[0])) for tape in tapes]
    if any([step[:2] for step in row] != [step[:2] for step in rows[0]] for row in rows):
        raise UnsupportedError(
            f"{operator.name} on wires {list(operator.wires)} decomposes into other gates in some rows than in others. "
            "Run such rows one at a time."
        )
    return [
        (name, wires, None if angle is None else np.stack([_numbers(row[i][2]) for row in rows]))
        for i, (name, wires, angle) in enumerate(rows[0])
    ]


def _numbers(angle: Any) -> np.ndarray:
    """A parameter of any framework as float64, shape () or (N,)."""
    numbers = np.asarray(qml.math.unwrap([angle])[0])
    if numbers.dtype.kind == "c" and np.any(numbers.imag):
        raise ValueError(f"complex angle {numbers}")
    return np.asarray(numbers.real, dtype=np.float64)


def _shots(tape: QuantumScript) -> int | None:
    if tape.shots.has_partitioned_shots:
        raise UnsupportedError(
            f"`shots` must be one number; the quantum function has {tape.shots}. Use qml.set_shots(None), and give "
            "`shots`."
        )
    return tape.shots.total_shots


def _measurement(item: Any, labels: Sequence[Any]) -> Measurement:
    """A measurement of PennyLane on numbered wires; samples and counts are drawn from probabilities."""
    number = {label: i for i, label in enumerate(labels)}
    if isinstance(item, MeasurementProcess | Operator):
        _check_measured(item, number)
        item = qml.map_wires(item, number)
    if isinstance(item, CountsMP | SampleMP | ProbabilityMP):
        return Probabilities(tuple(item.wires) or tuple(range(len(labels))))
    return measurement_from(item)


def _check_measured(item: Any, number: Mapping[Any, int]) -> None:
    missing = [label for label in item.wires if label not in number]
    if missing:
        raise ArgumentError(
            f"`observables` must act on the circuit's wires, {', '.join(map(str, number))}; got {item} on wire "
            f"{missing[0]!r}. Use another wire."
        )
    if not isinstance(item, MeasurementProcess):
        return
    linear = isinstance(item, ExpectationMP | VarianceMP) and item.obs is not None
    outcomes = isinstance(item, CountsMP | SampleMP | ProbabilityMP) and item.obs is None
    if item.mv is not None or not (linear or outcomes):
        raise UnsupportedError(
            f"`circuit` must return expectation values, variances, probabilities, samples or counts of wires; got "
            f"{item}. Return for example qml.expval(...), or run the function as a QNode on default.qubit."
        )
