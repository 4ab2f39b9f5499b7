"""Gate calls and gate definitions of an OpenQASM program, as instructions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import openqasm3
from openqasm3 import ast

from qnn.circuits.qasm.definitions import Definition, euler, row
from qnn.circuits.qasm.expressions import Parameter, Scalar
from qnn.circuits.qasm.instructions import PHASE, Instruction, control, inverse, placed, power
from qnn.circuits.qasm.library import INCLUDES, STANDARD_INCLUDE, Library, defined_gate, definition_text
from qnn.circuits.qasm.names import Names
from qnn.circuits.qasm.source import Source, did_you_mean

MAX_INSTRUCTIONS = 100_000
_MAX_CONTROLS = 10


class GateCalls:
    """The gates that a program knows so far, and calls of them."""

    def __init__(self, source: Source, names: Names) -> None:
        self.source = source
        self.names = names
        self._definitions: dict[str, Callable[[], Definition]] = {}  # made when first called
        self._lines: dict[str, int] = {}  # where the program itself defines a gate
        self._defining = ""  # the gate whose definition is being read
        self._overridden = False  # whether the program gives a meaning of its own to a gate of an include file
        if source.version == 2:
            self._definitions["CX"] = partial(row, "CNOT")

    def include(self, filename: str, node: ast.Include) -> None:
        """Make known the gates of an include file."""
        library = INCLUDES.get(filename)
        if library is None:
            what = f'the include file "{filename}"'
            raise self.source.unsupported(node, what, f"Copy its gates into the program; known: {', '.join(INCLUDES)}.")
        self._know_rows(library)
        for name, text in library.definitions.items():
            self._definitions.setdefault(name, partial(_library_gate, filename, text))

    def _know_rows(self, library: Library) -> None:
        for name, gate in library.gates.items():
            self._definitions.setdefault(name, partial(row, gate))

    def define(self, node: ast.QuantumGateDefinition) -> Definition:
        """Add the gate of a `gate` statement."""
        name = node.name.name
        if name in self._lines or name == "U":
            where = f" on line {self._lines[name]}" if name in self._lines else " in the language"
            raise self.source.error(node, f'the gate "{name}" is already defined{where}. Choose another name.')
        parameters, qubits = [a.name for a in node.arguments], [q.name for q in node.qubits]
        if len({*parameters, *qubits}) != len(parameters) + len(qubits):
            raise self.source.error(node, f'names in the definition of "{name}" must differ. Rename one.')
        definition = self._table_gate(node)
        if definition is None:
            self._defining = name
            definition = Definition(tuple(parameters), len(qubits), self._body(node, parameters, qubits))
            self._defining = ""
            self._overridden |= name in self._definitions
        self._definitions[name] = lambda: definition
        place = self.source.place(node)
        self._lines[name] = place.line if place else 0
        return definition

    def call(self, node: ast.QuantumGate, operands: Sequence[Sequence[int]]) -> list[Instruction]:
        """The instructions of a gate call, for each tuple of wires that it is broadcast to."""
        angles = [self.names.scalar(argument) for argument in node.arguments]
        n_wires = len(node.qubits)
        modifiers = self._modifiers(node)
        n_controls = _n_controls(modifiers)
        body = self._unmodified(node, angles, n_wires - n_controls)
        template = self._modified(body, modifiers, node)
        if len(template) * len(operands) > MAX_INSTRUCTIONS:
            raise self.too_many(node)
        return [placed(instruction, wires) for wires in operands for instruction in template]

    def phase(self, node: ast.QuantumPhase, wires: Sequence[int]) -> list[Instruction]:
        """The instructions of a `gphase` statement."""
        modifiers = self._modifiers(node)
        if len(wires) != (n_controls := _n_controls(modifiers)):
            message = f"gphase acts on no qubits but its controls; got {len(wires)} for {n_controls} controls."
            raise self.source.error(node, message)
        body = [Instruction(PHASE, (), self.names.scalar(node.argument))]
        return [placed(i, wires) for i in self._modified(body, modifiers, node)]

    def too_many(self, node: ast.QASMNode) -> Exception:
        """The error for programs that unroll without end."""
        limit = f"{MAX_INSTRUCTIONS:,}"
        return self.source.error(node, f"the program unrolls into more than {limit} gates. Use fewer repetitions.")

    def _unmodified(self, node: ast.QuantumGate, angles: list[Scalar], n_wires: int) -> list[Instruction]:
        """The call without its modifiers, on wires numbered from 0."""
        name = node.name.name
        if name == "U":
            self._check_counts(node, "U", (3, 1), (len(angles), n_wires))
            return euler(angles, self.source.version)
        if name not in self._definitions:
            raise self.source.error(node, self._unknown(name))
        definition = self._definitions[name]()
        self._check_counts(node, name, (len(definition.parameters), definition.n_qubits), (len(angles), n_wires))
        return definition.call(angles, range(n_wires))

    def _check_counts(self, node: ast.QuantumGate, name: str, wanted: tuple[int, int], given: tuple[int, int]) -> None:
        for what, want, got in zip(("parameter", "qubit"), wanted, given, strict=True):
            if want != got:
                plural = "" if want == 1 else "s"
                message = f'the gate "{name}" takes {want} {what}{plural}; got {max(got, 0)}. Correct the call.'
                raise self.source.error(node, message)

    def _unknown(self, name: str) -> str:
        include = STANDARD_INCLUDE[self.source.version]
        if any(name in library.names for library in INCLUDES.values()) and not self._definitions.keys() - {"CX"}:
            return f'no gate named "{name}" is defined. Add this line after the version: include "{include}";'
        if name == self._defining:
            return f'the gate "{name}" calls itself, and gates cannot be recursive. Use other gates in its definition.'
        if line := self.source.line_of_gate(name):
            return f'the gate "{name}" is used before its definition on line {line}. Define gates before use.'
        near = did_you_mean(name, [*self._definitions, "U"])
        return f'no gate named "{name}" is defined.{near or " Define it, or include the file that does."}'

    def _modifiers(self, node: ast.QuantumGate | ast.QuantumPhase) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        for modifier in node.modifiers:
            name = modifier.modifier.name
            argument = modifier.argument
            if name in ("ctrl", "negctrl"):
                count = 1 if argument is None else self.names.integer(argument, "A number of controls")
                if not 1 <= count <= _MAX_CONTROLS:
                    message = f"a number of controls must be within 1 to {_MAX_CONTROLS}; got {count}."
                    raise self.source.error(node, message)
                found.append((name, count))
            elif name == "pow" and argument is not None:
                found.append((name, self.names.constant(argument, "The exponent of pow")))
            else:
                found.append((name, -1))
        return found

    def _modified(
        self, body: list[Instruction], modifiers: list[tuple[str, float]], node: ast.QASMNode
    ) -> list[Instruction]:
        """Modifiers applied from the gate outwards; the outermost control is the first operand."""
        n_controls = _n_controls(modifiers)
        body = [placed(i, range(n_controls, n_controls + _width(i))) for i in body]
        free = n_controls
        for name, amount in reversed(modifiers):
            if name in ("ctrl", "negctrl"):
                free -= int(amount)
                body = control(body, range(free, free + int(amount)), when=int(name == "ctrl"))
            elif name == "inv":
                body = inverse(body)
            elif abs(amount) * max(len(body), 1) > MAX_INSTRUCTIONS:
                raise self.too_many(node)
            else:
                body = self._to_power(body, amount, node)
        if any(len(i.controls) > _MAX_CONTROLS for i in body):
            raise self.source.error(node, f"a gate must have at most {_MAX_CONTROLS} controls. Use fewer.")
        return body

    def _to_power(self, body: list[Instruction], exponent: float, node: ast.QASMNode) -> list[Instruction]:
        try:
            return power(body, exponent)
        except ValueError as error:
            advice = "Use an integer exponent, or write the root as gates."
            raise self.source.unsupported(node, f"pow({exponent}), {error},", advice) from error

    def _table_gate(self, node: ast.QuantumGateDefinition) -> Definition | None:
        """The gate of the table, if this is the definition that qnn itself writes for it."""
        gate = defined_gate(node.name.name, len(node.qubits))
        if gate is None or self._overridden:
            return None
        if node != openqasm3.parse(definition_text(gate, len(node.qubits))).statements[0]:
            return None
        return row(gate, len(node.qubits))

    def _body(
        self, node: ast.QuantumGateDefinition, parameters: list[str], qubits: list[str]
    ) -> tuple[Instruction, ...]:
        places = {qubit: place for place, qubit in enumerate(qubits)}
        instructions: list[Instruction] = []
        with self.names.gate_scope({name: Parameter(name) for name in parameters}):
            for statement in node.body:
                if isinstance(statement, ast.QuantumGate | ast.QuantumPhase):
                    wires = tuple(self._formal_wire(q, places, statement) for q in statement.qubits)
                    if len(set(wires)) != len(wires):
                        raise self.source.error(statement, "a gate must act on different qubits; one is named twice.")
                    if isinstance(statement, ast.QuantumGate):
                        instructions += self.call(statement, [wires])
                    else:
                        instructions += self.phase(statement, wires)
                elif not isinstance(statement, ast.QuantumBarrier):
                    what = f"{type(statement).__name__} in a gate definition"
                    raise self.source.unsupported(statement, what, "Use gate calls only.")
                if len(instructions) > MAX_INSTRUCTIONS:
                    raise self.too_many(statement)
        return tuple(instructions)

    def _formal_wire(self, node: ast.QASMNode, places: dict[str, int], statement: ast.QASMNode) -> int:
        if not isinstance(node, ast.Identifier):
            raise self.source.error(statement, "a qubit of a gate definition has no index. Leave the index out.")
        if node.name not in places:
            near = did_you_mean(node.name, places)
            raise self.source.error(statement, f'the gate has no qubit named "{node.name}".{near}')
        return places[node.name]


@cache
def _library_gate(filename: str, text: str) -> Definition:
    """A gate that an include file defines by text."""
    source = Source(f"OPENQASM 3; {text}", filename)
    calls = GateCalls(source, Names(source))
    calls._know_rows(INCLUDES[filename])
    definition: Any = openqasm3.parse(text).statements[0]
    return calls.define(definition)


def _n_controls(modifiers: Sequence[tuple[str, float]]) -> int:
    return int(sum(count for name, count in modifiers if name in ("ctrl", "negctrl")))


def _width(instruction: Instruction) -> int:
    return max(instruction.all_wires, default=-1) + 1
