"""OpenQASM programs, read and ready to be used as PennyLane quantum functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pennylane as qml
from openqasm3 import ast

from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.lowering import lower
from qnn.circuits.observables import Measurement
from qnn.circuits.qasm.expressions import Expression, Parameter
from qnn.circuits.qasm.instructions import Instruction, operations
from qnn.circuits.qasm.names import Names
from qnn.circuits.qasm.source import Source
from qnn.circuits.qasm.statements import Statements
from qnn.errors import ArgumentError, QasmError, QnnError, ShapeError, unknown_name


@dataclass(frozen=True)
class QasmProgram:
    """A program whose structure is known and whose free parameters are not.

    Attributes:
        version: 2 or 3.
        n_qubits: number of qubits; the first one declared is wire 0, the leftmost.
        qubit_names: names such as "q[0]", by wire.
        parameters: names of the free (`input`) parameters in order of declaration.
        shapes: () for a scalar parameter, else the dimensions of an array.
        measured_wires: wires that the program measures, ascending.
        instructions: the gates in the order in which they act.
        name: file name; empty if the program came as text.
    """

    version: int
    n_qubits: int
    qubit_names: tuple[str, ...]
    parameters: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]] = field(hash=False)
    measured_wires: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    name: str = ""

    def function(self, values: Mapping[str, Any] | None = None) -> None:
        """Queue the gates as PennyLane operations on wires 0 to n_qubits - 1, up to a global phase.

        Args:
            values: for each free parameter a scalar (radians), for each array something of its shape that can be
                indexed; numbers or tensors, which may be traced: no value is converted or compared.

        Raises:
            ArgumentError: a parameter has no value.
            ShapeError: an array has another shape than declared.
            UnknownNameError: the program has no such parameter.
        """
        given = dict(values or {})
        self._check(given)
        for instruction in self.instructions:
            for operation in self._operations(instruction, given):
                qml.apply(operation)

    def symbols(self) -> dict[str, Any]:
        """Values for `function` that leave every parameter symbolic."""
        return {name: _symbols(name, shape) for name, shape in self.shapes.items()}

    def circuit(
        self, values: Mapping[str, Any] | None = None, measurements: Sequence[Measurement] = ()
    ) -> tuple[Circuit, dict[Slot, Expression]]:
        """The circuit in gates of the table.

        Args:
            values: numbers for some or all parameters; each angle that depends on another one becomes a slot.
            measurements: what the circuit measures.

        Returns:
            The circuit, and for each of its slots the expression that it stands for.
        """
        merged = {**self.symbols(), **(values or {})}
        self._check(merged)
        found: list[Operation] = []
        slots: dict[Slot, Expression] = {}
        for instruction in self.instructions:
            for operation in self._operations(instruction, merged):
                for gate, wires, angle in lower(operation):
                    if isinstance(angle, Expression):
                        slot = Slot("shared", len(slots))
                        slots[slot] = angle
                        angle = slot
                    found.append(Operation(gate, wires, angle if angle is None or angle in slots else float(angle)))
        return Circuit(self.n_qubits, tuple(found), tuple(measurements), n_shared=len(slots)), slots

    def _operations(self, instruction: Instruction, values: Mapping[str, Any]) -> list[qml.operation.Operator]:
        try:
            return operations(instruction, values)
        except (ArithmeticError, ValueError) as error:
            raise ArgumentError(
                f"`values` must give every angle a value; {instruction.gate}({instruction.angle}) has none ({error}). "
                "Choose other values."
            ) from error

    def _check(self, values: dict[str, Any]) -> None:
        for name in values:
            if name not in self.shapes:
                raise unknown_name("free parameter of the program", name, self.shapes)
        for name, shape in self.shapes.items():
            if name not in values:
                raise ArgumentError(
                    f'`values` must give a value to every free parameter; "{name}" has none. '
                    f"Free parameters: {', '.join(self.parameters)}."
                )
            if (found := _shape(values[name])) != shape:
                raise ShapeError(f'`values["{name}"]` must have shape {shape} as declared; got {found}. Correct it.')
            if isinstance(values[name], int):
                values[name] = float(values[name])


def read_qasm(path_or_text: str | Path) -> QasmProgram:
    """Read an OpenQASM 2 or 3 program.

    All of it is checked here; nothing is run. Gates of stdgates.inc and qelib1.inc are built in, `gate`
    definitions are expanded, loops over constant ranges unrolled. Qubits may be measured at the end.

    Args:
        path_or_text: a `Path`, a string ending in ".qasm" or naming an existing file, or the program itself.

    Raises:
        QasmError: the program has an error; the message has file, line and column.
        UnsupportedError: the program uses what a circuit of fixed structure cannot express (mid-circuit
            measurement, classical control, …), with line and column.
        ArgumentError: the file cannot be read.

    Example:
        >>> program = read_qasm('OPENQASM 3.0; include "stdgates.inc"; input float t; qubit q; rx(t) q;')
        >>> program.n_qubits, program.parameters
        (1, ('t',))
    """
    source = Source.load(path_or_text)
    statements = Statements(source)
    try:
        statements.run(source.parse().statements)
    except RecursionError as error:
        raise QasmError(source.message(None, "the program is nested too deeply. Simplify it.")) from error
    if not statements.memory.labels:
        raise QasmError(source.message(None, "the program must declare at least one qubit. Add: qubit[2] q;"))
    return QasmProgram(
        version=source.version,
        n_qubits=len(statements.memory.labels),
        qubit_names=tuple(statements.memory.labels),
        parameters=tuple(statements.shapes),
        shapes=dict(statements.shapes),
        measured_wires=statements.memory.measured,
        instructions=tuple(statements.instructions),
        name=source.name,
    )


def _symbols(name: str, shape: tuple[int, ...], index: tuple[int, ...] = ()) -> Any:
    if len(index) == len(shape):
        return Parameter(name, index)
    return [_symbols(name, shape, (*index, place)) for place in range(shape[len(index)])]


def _shape(value: Any) -> tuple[int, ...]:
    if hasattr(value, "shape"):
        return tuple(value.shape)
    if isinstance(value, (list, tuple)):
        return (len(value), *(_shape(value[0]) if value else ()))
    return ()


def read_angle(text: str) -> float:
    """A number written as an OpenQASM expression, such as ``0.3``, ``-pi/4`` or ``2*arctan(1)``.

    Raises:
        ArgumentError: the text is no constant expression.
    """
    source = Source(f"OPENQASM 2.0;\n{text};")  # version 2 has no integer division
    try:
        statements = source.parse().statements
        if len(statements) == 1 and isinstance(statements[0], ast.ExpressionStatement):
            return float(Names(source).constant(statements[0].expression, "The value"))
    except QnnError as error:
        reason = str(error).partition(": ")[2].partition("\n")[0].partition(". ")[0].rstrip(".")
        raise ArgumentError(
            f'A value must be a number; got "{text}": {reason}. Write for example 0.3 or pi/4.'
        ) from error
    raise ArgumentError(f'A value must be a number; got "{text}". Write for example 0.3 or pi/4.')
