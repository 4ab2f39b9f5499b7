"""Values of a program's free parameters, one or many sets, as the angles of its circuit."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import torch

from qnn.circuits.circuit import Circuit
from qnn.circuits.qasm.expressions import evaluate, text
from qnn.circuits.qasm.program import QasmProgram
from qnn.errors import ArgumentError, NotFiniteError, ShapeError, unknown_name


def angles_of_program(
    program: QasmProgram, origins: Mapping[str, tuple[str, int | None]], values: Mapping[str, Any]
) -> tuple[Circuit, np.ndarray, tuple[int, ...]]:
    """The circuit of an OpenQASM program, and its angles for every set of values.

    Args:
        program: the program.
        origins: for each free parameter the name in `values`, and the place along the last axis of what is there.
        values: for each parameter an array that ends in its declared shape; what is before that are the leading
            dimensions, which broadcast.

    Returns:
        The circuit with every angle a slot of the rows block, angles (N, R), and the leading dimensions.

    Raises:
        ArgumentError: a parameter has no value.
        UnknownNameError: there is no such parameter.
        ShapeError: a value has another shape than declared, or leading dimensions do not broadcast.
        NotFiniteError: a value, or an angle that follows from it, is NaN or infinite.
    """
    _check_names([name for name, _ in origins.values()], values)
    arrays = {}
    for parameter, (name, place) in origins.items():
        array = finite_array(name, values[name])
        arrays[parameter] = array if place is None else _entry(name, array, place)
    leading = _leading(program, origins, arrays)
    n_rows = prod(leading)
    columns = {}
    for parameter, array in arrays.items():
        shape = program.shapes[parameter]
        full = np.broadcast_to(array, (*leading, *shape)).reshape(n_rows, *shape)
        columns[parameter] = torch.from_numpy(np.moveaxis(full, 0, -1).copy())  # (*shape, N)
    circuit, slots = program.circuit()
    angles = np.empty((n_rows, len(slots)))
    for slot, expression in slots.items():
        try:
            angles[:, slot.index] = evaluate(expression, columns)
        except ArithmeticError as error:
            raise _no_angle(text(expression), values, 0) from error
        if len(bad := np.flatnonzero(~np.isfinite(angles[:, slot.index]))):
            raise _no_angle(text(expression), values, int(bad[0]))
    return circuit.all_rows(), angles, leading


def finite_array(name: str, value: Any) -> np.ndarray:
    """A parameter's value as float64.

    Raises:
        ArgumentError: it is not made of real numbers.
        NotFiniteError: it has NaN or infinity.
    """
    plain = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    try:
        array = np.asarray(plain)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"dtype {array.dtype}")
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f'`parameters["{name}"]` must be real numbers; got {value!r} ({error}). Use radians, such as 0.3.'
        ) from error
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise NotFiniteError(f'`parameters["{name}"]` must be finite; got {value!r}. Look where it comes from.')
    return array


def _check_names(names: list[str], values: Mapping[str, Any]) -> None:
    for name in values:
        if not names:
            raise ArgumentError(f'`parameters` must be left out: the circuit has no free ones; got "{name}".')
        if name not in names:
            raise unknown_name("free parameter", name, set(names))
    missing = list(dict.fromkeys(name for name in names if name not in values))
    if missing:
        raise ArgumentError(
            f"`parameters` must give a value to every free parameter; got none for {', '.join(missing)}. "
            f'Write for example parameters={{"{missing[0]}": 0.3}}.'
        )


def _entry(name: str, array: np.ndarray, place: int) -> np.ndarray:
    if array.ndim == 0 or array.shape[-1] <= place:
        raise ShapeError(
            f'`parameters["{name}"]` must have an entry for each element of the vector in its last dimension; got '
            f"shape {array.shape}, and the circuit uses {name}[{place}]. Give one value per element."
        )
    return array[..., place]


def _leading(
    program: QasmProgram, origins: Mapping[str, tuple[str, int | None]], arrays: Mapping[str, np.ndarray]
) -> tuple[int, ...]:
    """The leading dimensions of all values together."""
    found = {}
    for parameter, array in arrays.items():
        shape, name = program.shapes[parameter], origins[parameter][0]
        if array.shape[max(0, array.ndim - len(shape)) :] != shape:
            raise ShapeError(
                f'`parameters["{name}"]` must have shape {shape} as declared, or that with leading dimensions; '
                f"got {array.shape}. Correct the shape."
            )
        found[name] = array.shape[: array.ndim - len(shape)]
    try:
        leading = np.broadcast_shapes(*found.values())
    except ValueError as error:
        shown = ", ".join(f"{name}: {shape}" for name, shape in found.items())
        raise ShapeError(
            f"`parameters` must have leading dimensions that broadcast; got {shown}. Give each as many values."
        ) from error
    if 0 in leading:
        raise ShapeError(f"`parameters` must have at least one set of values; got shape {leading}. Give one or more.")
    return leading


def _no_angle(written: str, values: Mapping[str, Any], row: int) -> NotFiniteError:
    return NotFiniteError(
        f"`parameters` must give every angle a value; {written} has none in row {row}, with {dict(values)}. "
        "Choose other values."
    )
