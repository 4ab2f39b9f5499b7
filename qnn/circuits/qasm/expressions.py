"""Symbolic scalars: what an OpenQASM angle is before its free parameters have values.

A scalar is a Python number, or an `Expression` over free parameters. Evaluating an expression
applies pure functions to whatever it is given: numbers, torch tensors (traced ones too) or other
expressions; it never turns a value into a number and never branches on one.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import autoray
import pennylane as qml
import torch

Scalar = Any  # int, float, bool, Expression; a tensor once parameters have values

CONSTANTS = {
    "pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e,
}  # fmt: skip

_OPERATORS: dict[str, tuple[Callable, int]] = {  # the function, and how tightly it binds
    "+": (operator.add, 1),
    "-": (operator.sub, 1),
    "*": (operator.mul, 2),
    "/": (operator.truediv, 2),
    "%": (operator.mod, 2),
    "neg": (operator.neg, 3),
    "**": (operator.pow, 4),
}
_ATOM = 5

_FUNCTIONS: dict[str, tuple[Callable, Callable]] = {  # on numbers, on tensors
    "sin": (math.sin, torch.sin),
    "cos": (math.cos, torch.cos),
    "tan": (math.tan, torch.tan),
    "arcsin": (math.asin, torch.arcsin),
    "arccos": (math.acos, torch.arccos),
    "arctan": (math.atan, torch.arctan),
    "exp": (math.exp, torch.exp),
    "log": (math.log, torch.log),
    "sqrt": (math.sqrt, torch.sqrt),
    "floor": (math.floor, torch.floor),
    "ceiling": (math.ceil, torch.ceil),
}
_SYNONYMS = {"ln": "log", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "mod": "%"}
FUNCTION_NAMES = sorted([*_FUNCTIONS, *_SYNONYMS])


class Expression:
    """A scalar that depends on free parameters; arithmetic on it gives further expressions."""

    __array_ufunc__ = None  # NumPy scalars leave the arithmetic to this class

    def __neg__(self) -> Scalar:
        return apply("neg", self)

    def __add__(self, other: Scalar) -> Scalar:
        return apply("+", self, other)

    def __radd__(self, other: Scalar) -> Scalar:
        return apply("+", other, self)

    def __sub__(self, other: Scalar) -> Scalar:
        return apply("-", self, other)

    def __rsub__(self, other: Scalar) -> Scalar:
        return apply("-", other, self)

    def __mul__(self, other: Scalar) -> Scalar:
        return apply("*", self, other)

    def __rmul__(self, other: Scalar) -> Scalar:
        return apply("*", other, self)

    def __truediv__(self, other: Scalar) -> Scalar:
        return apply("/", self, other)

    def __str__(self) -> str:
        """OpenQASM text that evaluates to exactly this expression."""
        return text(self)

    def __format__(self, specification: str) -> str:
        """The text; a number format does not apply."""
        if specification:
            raise ValueError("an expression has no number format")
        return label(self)


@dataclass(frozen=True, repr=False)
class Parameter(Expression):
    """A free parameter, or one entry of an array of them."""

    name: str
    index: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return text(self)


@dataclass(frozen=True, repr=False)
class Call(Expression):
    """A function or operator applied to scalars."""

    function: str
    arguments: tuple[Scalar, ...]

    def __repr__(self) -> str:
        return text(self)


for _kind in (Parameter, Call):  # PennyLane asks which array library the parameter of a gate is from
    autoray.register_backend(_kind, "builtins")


def apply(function: str, *arguments: Scalar) -> Scalar:
    """`function` of scalars: a number, a tensor, or an expression if any argument is one.

    Raises:
        ArithmeticError, ValueError: a number outside of the function's domain.
    """
    function = _SYNONYMS.get(function, function)
    if any(isinstance(a, Expression) for a in arguments):
        return Call(function, arguments)
    if function in _OPERATORS:
        value = _OPERATORS[function][0](*arguments)
        if isinstance(value, complex):
            raise ValueError("the result is not a real number")
        return value
    on_numbers, on_tensors = _FUNCTIONS[function]
    if isinstance(arguments[0], (int, float)):
        return on_numbers(*arguments)
    if hasattr(arguments[0], "__torch_function__"):
        return on_tensors(*arguments)
    return getattr(qml.math, on_tensors.__name__)(*arguments)


def n_arguments(function: str) -> int:
    """How many arguments a function takes."""
    return 2 if _SYNONYMS.get(function, function) in _OPERATORS else 1


def evaluate(scalar: Scalar, values: Mapping[str, Any]) -> Scalar:
    """`scalar` with its parameters replaced by `values`; an array's value is indexed."""
    if isinstance(scalar, Parameter):
        value = values[scalar.name]
        for place in scalar.index:
            value = value[place]
        return value
    if isinstance(scalar, Call):
        return apply(scalar.function, *(evaluate(a, values) for a in scalar.arguments))
    return scalar


def parameters(scalar: Scalar) -> list[Parameter]:
    """The free parameters in a scalar, from left to right, repeated as they are."""
    if isinstance(scalar, Parameter):
        return [scalar]
    return [p for a in scalar.arguments for p in parameters(a)] if isinstance(scalar, Call) else []


def text(scalar: Scalar, number: Callable[[float], str] = repr) -> str:
    """OpenQASM text of a scalar, with as few parentheses as its meaning allows.

    Args:
        scalar: a number or an expression.
        number: how to write a number; `repr` is the shortest that reads back exactly.
    """
    return _written(scalar, number)[0]


def label(scalar: Scalar) -> str:
    """Short text of a scalar for a drawing: simple multiples of π by name, else three digits."""
    return text(scalar, _short_number)


def _written(scalar: Scalar, number: Callable[[float], str]) -> tuple[str, int]:
    """The text, and how tightly its outermost operator binds."""
    if isinstance(scalar, Parameter):
        return scalar.name + "".join(f"[{place}]" for place in scalar.index), _ATOM
    if not isinstance(scalar, Call):
        written = number(scalar)
        return written, _number_binding(written)
    if scalar.function not in _OPERATORS:
        return f"{scalar.function}({', '.join(text(a, number) for a in scalar.arguments)})", _ATOM
    binding = _OPERATORS[scalar.function][1]
    if scalar.function == "neg":
        return "-" + _guarded(scalar.arguments[0], binding, number), binding
    left, right = scalar.arguments
    if scalar.function == "**":  # no operand but an atom: readers disagree on what a chain of powers means
        return f"{_guarded(left, _ATOM, number)}**{_guarded(right, _ATOM, number)}", binding
    sign = f" {scalar.function} " if binding == 1 else scalar.function
    return f"{_guarded(left, binding, number)}{sign}{_guarded(right, binding + 1, number)}", binding


def _guarded(scalar: Scalar, binding: int, number: Callable[[float], str]) -> str:
    written, own = _written(scalar, number)
    return written if own >= binding else f"({written})"


def _number_binding(written: str) -> int:
    """A negative number, or a multiple of π, needs parentheses under an operator as the text that it is."""
    if written.startswith("-"):
        return 1
    return 2 if "/" in written or ("π" in written and written != "π") else _ATOM


def _short_number(value: float) -> str:
    ratio = value / math.pi
    for denominator in (1, 2, 3, 4, 6, 8, 16):
        numerator = round(ratio * denominator)
        if 0 < abs(numerator) <= 16 and math.isclose(ratio * denominator, numerator, rel_tol=1e-12):
            over = f"/{denominator}" if denominator > 1 else ""
            times = {1: "", -1: "-"}.get(numerator, str(numerator))
            return f"{times}π{over}"
    return f"{value:.3g}"
