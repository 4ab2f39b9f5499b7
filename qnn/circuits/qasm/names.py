"""Names of a program and what they stand for, and expressions read from the syntax tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from openqasm3 import ast

from qnn.circuits.qasm.expressions import CONSTANTS, FUNCTION_NAMES, Expression, Parameter, Scalar, apply, n_arguments
from qnn.circuits.qasm.source import Source, did_you_mean

_COMPARISONS = {"==", "!=", "<", "<=", ">", ">=", "&&", "||"}


@dataclass(frozen=True)
class Qubits:
    """A single qubit (`size` None), or a register or alias of several."""

    wires: tuple[int, ...]
    is_register: bool


@dataclass(frozen=True)
class Bits:
    """Classical bits, which hold measured values; `size` is None for a single one."""

    size: int | None


@dataclass(frozen=True)
class InputArray:
    """A free parameter with several entries."""

    name: str
    shape: tuple[int, ...]


Meaning = Any  # a scalar, Qubits, Bits or InputArray


class Names:
    """Nested scopes of names, and the values of expressions in them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._scopes: list[dict[str, Meaning]] = [{}]

    @contextmanager
    def scope(self, names: dict[str, Meaning] | None = None) -> Iterator[None]:
        """A block with names of its own."""
        self._scopes.append(dict(names or {}))
        try:
            yield
        finally:
            self._scopes.pop()

    @contextmanager
    def gate_scope(self, names: dict[str, Meaning]) -> Iterator[None]:
        """The body of a gate definition, which sees its own names and numbers declared outside of it."""
        outside = self._scopes
        constants = {n: v for scope in outside for n, v in scope.items() if isinstance(v, (int, float))}
        self._scopes = [constants, dict(names)]
        try:
            yield
        finally:
            self._scopes = outside

    def declare(self, name: str, meaning: Meaning, node: ast.QASMNode) -> None:
        """Give `name` a meaning in the innermost scope, once."""
        if name in self._scopes[-1] or name in CONSTANTS:
            raise self.source.error(node, f'"{name}" is already declared. Choose another name.')
        self._scopes[-1][name] = meaning

    def meaning(self, name: str, node: ast.QASMNode) -> Meaning:
        """What `name` stands for, from the innermost scope outwards."""
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        known = {n for scope in self._scopes for n in scope}
        raise self.source.error(node, f'"{name}" is not declared here.{did_you_mean(name, known)}')

    def qubits(self, name: str, node: ast.QASMNode) -> Qubits:
        """The qubits that `name` stands for."""
        if name.startswith("$"):
            advice = "Declare qubits, for example: qubit[2] q;"
            raise self.source.unsupported(node, f'the hardware qubit "{name}"', advice)
        meaning = self.meaning(name, node)
        if not isinstance(meaning, Qubits):
            raise self.source.error(node, f'"{name}" must be a qubit or a register of qubits; it is none.')
        return meaning

    def constant(self, node: ast.Expression, what: str) -> int | float:
        """The value of an expression without free parameters."""
        value = self.scalar(node)
        if isinstance(value, Expression):
            message = f"{what} must be constant; got {value}, which depends on a free parameter. Use a number."
            raise self.source.error(node, message)
        return value

    def integer(self, node: ast.Expression, what: str) -> int:
        """The value of a constant integer expression."""
        value = self.constant(node, what)
        if value != int(value):
            raise self.source.error(node, f"{what} must be an integer; got {value!r}. Use a whole number.")
        return int(value)

    def scalar(self, node: ast.QASMNode) -> Scalar:
        """The number or expression that a syntax tree stands for."""
        match node:
            case ast.IntegerLiteral() | ast.FloatLiteral() | ast.BooleanLiteral():
                return node.value
            case ast.Identifier() | ast.IndexExpression():
                return self._named(node)
            case ast.UnaryExpression(op=op) if op.name == "-":
                return apply("neg", self.scalar(node.expression))
            case ast.UnaryExpression(op=op) if op.name == "!":
                return not self.constant(node.expression, "A condition")
            case ast.BinaryExpression():
                return self._binary(node)
            case ast.FunctionCall():
                return self._function(node)
            case ast.Cast(type=ast.FloatType() | ast.AngleType()):
                return self.scalar(node.argument)
            case ast.Cast(type=ast.IntType() | ast.UintType()):
                return int(self.constant(node.argument, "A number cast to an integer"))
        kind = type(node).__name__
        raise self.source.unsupported(node, f"the expression {kind}", "Use numbers, parameters, + - * / ** and sin(x).")

    def _named(self, node: ast.Identifier | ast.IndexExpression) -> Scalar:
        indices: list[int] = []
        inner: Any = node
        while isinstance(inner, ast.IndexExpression):
            if not isinstance(inner.index, list):
                raise self.source.error(node, "an entry of an array must be chosen by an integer.")
            indices[:0] = [self.integer(i, "An index") for i in inner.index if isinstance(i, ast.Expression)]
            inner = inner.collection
        if not isinstance(inner, ast.Identifier):
            raise self.source.error(node, "only a declared array can be indexed.")
        meaning = self.meaning(inner.name, node)
        if isinstance(meaning, Bits):
            what = f'the measured value "{inner.name}" in an expression (classical control)'
            raise self.source.unsupported(node, what, "Measured values cannot decide what happens next.")
        if isinstance(meaning, InputArray):
            return self._entry(meaning, indices, node)
        if isinstance(meaning, Qubits) or indices:
            raise self.source.error(node, f'"{inner.name}" must be a number or a parameter here; it is none.')
        return meaning

    def _entry(self, array: InputArray, indices: list[int], node: ast.QASMNode) -> Parameter:
        if len(indices) != len(array.shape):
            message = f'"{array.name}" has {len(array.shape)} dimensions; got {len(indices)} indices. Choose one entry.'
            raise self.source.error(node, message)
        places = []
        for index, size in zip(indices, array.shape, strict=True):
            if not -size <= index < size:
                message = f'an index of "{array.name}" must be within 0 to {size - 1}; got {index}. Correct the index.'
                raise self.source.error(node, message)
            places.append(index % size)
        return Parameter(array.name, tuple(places))

    def _binary(self, node: ast.BinaryExpression) -> Scalar:
        operator = node.op.name
        left, right = self.scalar(node.lhs), self.scalar(node.rhs)
        if operator in _COMPARISONS:
            return self._comparison(operator, left, right, node)
        if operator not in ("+", "-", "*", "/", "%", "**"):
            advice = "Use + - * / % and **."
            raise self.source.unsupported(node, f'the operator "{operator}"', advice)
        if operator == "/" and self.source.version == 3 and isinstance(left, int) and isinstance(right, int) and right:
            if left % right == 0:
                return left // right
            message = (
                f"{left}/{right} divides integers, which OpenQASM 3 rounds to {int(left / right)}. "
                f"Write {left}.0/{right} if the fraction is meant."
            )
            raise self.source.error(node, message)
        return self._applied(operator, (left, right), node)

    def _comparison(self, operator: str, left: Scalar, right: Scalar, node: ast.BinaryExpression) -> bool:
        if isinstance(left, Expression) or isinstance(right, Expression):
            message = "a condition must be constant; this one depends on a free parameter. Compare numbers."
            raise self.source.error(node, message)
        return {
            "==": left == right, "!=": left != right, "<": left < right, "<=": left <= right,
            ">": left > right, ">=": left >= right, "&&": bool(left and right), "||": bool(left or right),
        }[operator]  # fmt: skip

    def _function(self, node: ast.FunctionCall) -> Scalar:
        name = node.name.name
        if name not in FUNCTION_NAMES:
            near = did_you_mean(name, FUNCTION_NAMES)
            known = ", ".join(FUNCTION_NAMES)
            raise self.source.error(node, f'no function named "{name}".{near} Known: {known}.')
        if len(node.arguments) != n_arguments(name):
            message = f"{name} takes {n_arguments(name)} argument(s); got {len(node.arguments)}. Correct the call."
            raise self.source.error(node, message)
        return self._applied(name, tuple(self.scalar(a) for a in node.arguments), node)

    def _applied(self, function: str, arguments: tuple[Scalar, ...], node: ast.QASMNode) -> Scalar:
        try:
            return apply(function, *arguments)
        except (ArithmeticError, ValueError) as error:
            message = f"{function} of {', '.join(map(str, arguments))} has no value ({error}). Correct the expression."
            raise self.source.error(node, message) from error
