"""A circuit back as PennyLane operations and measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pennylane as qml
import torch
from pennylane.operation import Operator

from qnn.circuits.angle_map import AngleMap
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.observables import Measurement, PauliSum, Probabilities, Variance
from qnn.errors import ShapeError

_LETTERS = {"X": qml.X, "Y": qml.Y, "Z": qml.Z}


def queue(circuit: Circuit, angle: Callable[[Slot], Any]) -> list[Operator]:
    """Queue every operation of `circuit`, its slots filled by `angle`."""
    return [_operator(operation, angle) for operation in circuit.operations]


def _operator(operation: Operation, angle: Callable[[Slot], Any]) -> Operator:
    name, wires = operation.gate, list(operation.wires)
    if name.startswith("Adjoint("):
        return qml.adjoint(getattr(qml, name[8:-1]))(wires=wires)
    value = angle(operation.angle) if isinstance(operation.angle, Slot) else operation.angle
    return getattr(qml, name)(*([] if value is None else [value]), wires=wires)


def measurement_process(measurement: Measurement) -> qml.measurements.MeasurementProcess:
    """The PennyLane measurement process of one of ours."""
    if isinstance(measurement, Probabilities):
        return qml.probs(wires=list(measurement.wires))
    measured = observable(measurement.observable)
    return qml.var(measured) if isinstance(measurement, Variance) else qml.expval(measured)


def observable(pauli_sum: PauliSum) -> Operator:
    """The PennyLane observable of a Pauli sum."""
    words = []
    for coefficient, word in pauli_sum.terms:
        factors = [_LETTERS[letter](wire) for wire, letter in word] or [qml.Identity(0)]
        product = factors[0] if len(factors) == 1 else qml.prod(*factors)
        words.append(product if coefficient == 1.0 else coefficient * product)
    if not words:
        return 0.0 * qml.Identity(0)
    return words[0] if len(words) == 1 else qml.sum(*words)


def qnode(circuit: Circuit, angle_map: AngleMap, device: str, defaults: Mapping[str, torch.Tensor]) -> qml.QNode:
    """A QNode ``f(inputs, **weights)`` for one row; weights left out are `defaults`."""

    def function(inputs: torch.Tensor | None = None, **weights: torch.Tensor) -> Any:
        row = torch.zeros(0, dtype=torch.float64) if inputs is None else torch.as_tensor(inputs)
        row = row if row.is_floating_point() else row.double()
        if row.shape != (angle_map.n_inputs,):
            raise ShapeError(
                f"`inputs` must be one row of {angle_map.n_inputs} features; got shape {tuple(row.shape)}. "
                "Call the QNode row by row, or the layer on the batch."
            )
        shared, rows = angle_map.sources(
            row[None], {name: torch.as_tensor(value) for name, value in {**defaults, **weights}.items()}
        )
        blocks = {"shared": (shared, angle_map.shared_index), "rows": (rows[0], angle_map.rows_index)}

        def angle(slot: Slot) -> torch.Tensor:
            source, index = blocks[slot.block]
            return source[index[slot.index]]

        queue(circuit, angle)
        results = [measurement_process(m) for m in circuit.measurements]
        return results[0] if len(results) == 1 else results

    return qml.QNode(function, qml.device(device, wires=circuit.n_wires), interface="torch")
