"""Circuits whose parameters are plain, and how the angles of rows are bound to them.

Transpiling turns angles into expressions, which Aer binds one by one in Python; each is an affine
function of the slots, so a fresh parameter takes its place and the affine map is applied to all rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression
from scipy import sparse

from qnn.errors import UnsupportedError


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


def with_plain_parameters(
    circuit: QuantumCircuit, columns: Sequence[Parameter], qubits: tuple[int, ...]
) -> BoundCircuit:
    """Replace every parameter expression of a circuit by a parameter of its own; equal expressions share one."""
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
