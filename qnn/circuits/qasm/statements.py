"""The statements of an OpenQASM program, one after the other, into instructions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openqasm3 import ast

from qnn.circuits.qasm.expressions import Expression, Parameter
from qnn.circuits.qasm.gate_calls import MAX_INSTRUCTIONS, GateCalls
from qnn.circuits.qasm.instructions import Instruction
from qnn.circuits.qasm.names import Bits, InputArray, Names
from qnn.circuits.qasm.qubits import QubitMemory
from qnn.circuits.qasm.source import Source

_MAX_ENTRIES = 1_000_000  # of an input array

_REFUSED = {
    "WhileLoop": ("a while loop", "Use a for loop over a constant range."),
    "SwitchStatement": ("a switch", "Write the case that is meant."),
    "SubroutineDefinition": ('a subroutine ("def")', 'Write it as a "gate", or inline.'),
    "ExternDeclaration": ('an "extern" function', "Leave it out."),
    "CalibrationDefinition": ('a pulse definition ("defcal")', "Leave it out."),
    "CalibrationStatement": ('a "cal" block', "Leave it out."),
    "CalibrationGrammarDeclaration": ('"defcalgrammar"', "Leave it out."),
    "DelayInstruction": ("a delay", "Leave it out; noise belongs to the backend."),
    "Box": ("a box", "Write its gates without it."),
    "ClassicalAssignment": ("an assignment to a classical variable", "Declare a constant instead."),
    "ReturnStatement": ('"return"', "Leave it out."),
    "BreakStatement": ('"break"', "Use a for loop over a constant range."),
    "ContinueStatement": ('"continue"', "Use a for loop over a constant range."),
    "EndStatement": ('"end"', "Leave out what follows it."),
    "Pragma": ("a pragma", "Leave it out."),
}


class Statements:
    """A program in the course of being read.

    Attributes:
        instructions: gates so far.
        shapes: free parameters in order of declaration; () for a scalar, else an array's dimensions.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.names = Names(source)
        self.memory = QubitMemory(source, self.names)
        self.gates = GateCalls(source, self.names)
        self.instructions: list[Instruction] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._steps = 0

    def run(self, statements: Iterable[Any]) -> None:
        """Take in statements one by one."""
        for statement in statements:
            self._steps += 1
            if self._steps > MAX_INSTRUCTIONS:
                raise self.gates.too_many(statement)
            self._statement(statement)

    def _statement(self, node: Any) -> None:
        match node:
            case ast.QuantumGate() | ast.QuantumPhase():
                self._gate(node)
            case ast.QuantumGateDefinition():
                self.gates.define(node)
            case ast.Include():
                self.gates.include(node.filename, node)
            case ast.QubitDeclaration():
                self.memory.declare(node)
            case ast.ConstantDeclaration() | ast.ClassicalDeclaration():
                self._declaration(node)
            case ast.IODeclaration():
                self._input_or_output(node)
            case ast.QuantumBarrier():
                for operand in node.qubits:
                    self.memory.operand(operand)
            case ast.QuantumReset():
                self.memory.reset(node)
            case ast.QuantumMeasurementStatement():
                self.memory.measure(node, node.measure.qubit, node.target)
            case ast.AliasStatement():
                self.names.declare(node.target.name, self.memory.operand(node.value), node)
            case ast.ForInLoop():
                self._loop(node)
            case ast.BranchingStatement():
                taken = node.if_block if self.names.constant(node.condition, "A condition") else node.else_block
                with self.names.scope():
                    self.run(taken)
            case ast.CompoundStatement():
                with self.names.scope():
                    self.run(node.statements)
            case ast.ExpressionStatement():
                self.names.scalar(node.expression)
            case _:
                kind = type(node).__name__
                raise self.source.unsupported(node, *_REFUSED.get(kind, (kind, "Leave it out.")))

    def _gate(self, node: ast.QuantumGate | ast.QuantumPhase) -> None:
        if getattr(node, "duration", None) is not None:
            raise self.source.unsupported(node, "the duration of a gate", "Leave it out.")
        operands = [self.memory.operand(qubit) for qubit in node.qubits]
        calls = self.memory.broadcast(operands, node)
        for wires in calls:
            self.memory.touch(wires, node)
        if isinstance(node, ast.QuantumGate):
            self.instructions += self.gates.call(node, calls)
        else:
            self.instructions += [i for wires in calls for i in self.gates.phase(node, wires)]
        if len(self.instructions) > MAX_INSTRUCTIONS:
            raise self.gates.too_many(node)

    def _declaration(self, node: ast.ConstantDeclaration | ast.ClassicalDeclaration) -> None:
        name, value = node.identifier.name, node.init_expression
        if isinstance(node.type, ast.BitType):
            self.names.declare(name, self._bits(node.type), node)
            if isinstance(value, ast.QuantumMeasurement):
                self.memory.measure(node, value.qubit, node.identifier)
            return
        if not isinstance(node.type, ast.FloatType | ast.AngleType | ast.IntType | ast.UintType | ast.BoolType):
            kind = type(node.type).__name__.removesuffix("Type").lower()
            raise self.source.unsupported(node, f'the {kind} variable "{name}"', "Use float, angle or int.")
        if value is None or isinstance(value, ast.QuantumMeasurement):
            raise self.source.unsupported(node, f'the variable "{name}" without a value', "Give it a constant value.")
        scalar = self.names.scalar(value)
        if not isinstance(scalar, Expression):
            if isinstance(node.type, ast.FloatType | ast.AngleType):
                scalar = float(scalar)
            elif not isinstance(node.type, ast.BoolType):
                scalar = self.names.integer(value, f'The value of "{name}"')
        elif not isinstance(node.type, ast.FloatType | ast.AngleType):
            raise self.source.unsupported(
                node, f'the variable "{name}", which is no real number,', "Declare it as float."
            )
        self.names.declare(name, scalar, node)

    def _input_or_output(self, node: ast.IODeclaration) -> None:
        name, kind = node.identifier.name, node.type
        if node.io_identifier is ast.IOKeyword.output:
            if not isinstance(kind, ast.BitType):
                raise self.source.unsupported(node, f'the output "{name}"', "Only measured bits can be an output.")
            self.names.declare(name, self._bits(kind), node)
            return
        shape: tuple[int, ...] = ()
        if isinstance(kind, ast.ArrayType):
            shape = tuple(self.names.integer(d, "The size of an array") for d in kind.dimensions)
            kind = kind.base_type
        if not isinstance(kind, ast.FloatType | ast.AngleType):
            advice = f"Declare it as a real number: input float {name};"
            raise self.source.unsupported(node, f'the input "{name}", which is not a real number,', advice)
        entries = 1
        for size in shape:
            entries *= size
            if size < 1 or entries > _MAX_ENTRIES:
                raise self.source.error(node, f'the array "{name}" must have 1 to {_MAX_ENTRIES:,} entries.')
        self.names.declare(name, InputArray(name, shape) if shape else Parameter(name), node)
        self.shapes[name] = shape

    def _bits(self, kind: ast.BitType) -> Bits:
        return Bits(None if kind.size is None else self.names.integer(kind.size, "The size of a register"))

    def _loop(self, node: ast.ForInLoop) -> None:
        values: Iterable[int | float]
        if isinstance(node.set_declaration, ast.RangeDefinition):
            values = self.memory.range(node.set_declaration)
        elif isinstance(node.set_declaration, ast.DiscreteSet):
            values = [self.names.constant(v, "A value of a loop") for v in node.set_declaration.values]
        else:
            raise self.source.unsupported(node, "a loop over a variable", "Loop over a constant range or set.")
        for value in values:
            self._steps += 1
            if self._steps > MAX_INSTRUCTIONS:
                raise self.gates.too_many(node)
            with self.names.scope({node.identifier.name: value}):
                self.run(node.block)
