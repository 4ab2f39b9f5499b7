"""The engine's adjoint for groups of tapes: vector-Jacobian products, and Jacobians row by row.

Shapes: N rows, P angles, M outputs, C cotangents of one tape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pennylane.tape import QuantumScript

from qnn.backends.base import Angles, Estimate, Executable
from qnn.backends.pennylane_device.rows import Group, blocks


@dataclass
class Linearization:
    """A forward run with the states that its reverse sweep starts from."""

    executable: Executable
    angles: Angles
    residuals: torch.Tensor
    estimate: Estimate

    @classmethod
    def of(cls, executable: Executable, angles: Angles) -> Linearization:
        """Run forward."""
        estimate, residuals = executable.linearize(angles, need_shared=True, need_rows=True)
        return cls(executable, angles, residuals, estimate)

    def is_of(self, executable: Executable, angles: Angles) -> bool:
        """Whether this is the forward run of the same circuit at the same angles."""
        return (
            self.executable is executable
            and torch.equal(self.angles.rows, angles.rows)
            and torch.equal(self.angles.shared, angles.shared)
        )

    def pullback(self, cotangent: np.ndarray) -> Angles:
        """Gradients of Σ cotangent·values; cotangent of shape (N, M)."""
        table = torch.from_numpy(np.ascontiguousarray(cotangent)).to(self.angles.rows.dtype)
        wants = {"need_shared": self.angles.shared.numel() > 0, "need_rows": self.angles.rows.numel() > 0}
        return self.executable.pullback(self.angles, self.residuals, table, **wants)


class Products(tuple):
    """One array per parameter, of whatever shapes.

    PennyLane's torch interface asks `np.squeeze(products).shape` whether there are any (interfaces/torch.py), which
    NumPy refuses for arrays of unequal shapes unless it finds a method of this name.
    """

    def squeeze(self) -> np.ndarray:
        """An array as long as this."""
        return np.zeros(len(self))


def vjps(
    group: Group, cotangents: Sequence[Any], dtype: torch.dtype, kept: Linearization | None
) -> list[tuple[np.ndarray, ...]]:
    """For every tape the gradient of Σ cotangent·result by each trainable parameter.

    Args:
        group: the tapes.
        cotangents: for every tape an array like its result, or a tuple of arrays; with one more axis in front (or,
            for numbers, of their own) there are several cotangents of an unbroadcast tape.
        dtype: in which to compute.
        kept: a forward run; taken where it is of the same circuit at the same angles.

    Returns:
        For every tape and trainable parameter an array of the parameter's shape, with the axis of the cotangents in
        front where there are several.
    """
    tables = [_table(group, i, cotangents[i]) for i in range(len(group.tapes))]
    if any(len(table) > 1 for table in tables):
        return [_several(group, i, table, dtype) for i, table in enumerate(tables)]
    angles, shared = group.angles(dtype)
    executable = group.structure.executable(shared)
    if kept is None or not kept.is_of(executable, angles):
        kept = Linearization.of(executable, angles)
    gradient = kept.pullback(np.concatenate([table[0] for table in tables]))
    return [
        Products(_of_parameter(group, i, rows, parameter, gradient, shared) for parameter in _trainable(group, i))
        for i, _, rows in group.slices()
    ]


def jacobians(group: Group, dtype: torch.dtype) -> tuple[list[Any], np.ndarray]:
    """For every tape the derivative of each result by each trainable parameter, and the values (N, M).

    Shapes are those of the result followed by that of the parameter; single results and single parameters come without
    a tuple, as PennyLane has it.
    """
    angles, _ = group.angles(dtype, split=False)
    executable = group.structure.executable(None)
    n_outputs = executable.circuit.n_outputs
    tiled = Angles(angles.shared, angles.rows.repeat_interleave(n_outputs, dim=0))
    run = Linearization.of(executable, tiled)
    gradient = run.pullback(np.tile(np.eye(n_outputs), (group.n_rows, 1))).rows.numpy()
    by_angle = gradient.reshape(group.n_rows, n_outputs, -1)  # shape: (N, M, P)
    values = run.estimate.values.numpy()[::n_outputs]
    return [_jacobian(group, i, by_angle[rows], executable) for i, _, rows in group.slices()], values


def _jacobian(group: Group, i: int, by_angle: np.ndarray, executable: Executable) -> Any:
    reading = group.readings[i]
    column, results = 0, []
    for measurement in executable.circuit.measurements:
        block = by_angle[:, column : column + measurement.n_outputs]
        column += measurement.n_outputs
        row = []
        for parameter in _trainable(group, i):
            place = _angle_of(group, parameter)
            derivative = np.zeros(block.shape[:2]) if place is None else block[:, :, place]
            row.append(_derivative(derivative, reading.batch, reading.batched, parameter))
        results.append(row[0] if len(row) == 1 else tuple(row))
    return results[0] if len(results) == 1 else tuple(results)


def _derivative(derivative: np.ndarray, batch: int | None, batched: Sequence[bool], parameter: int) -> np.ndarray:
    """(N, m) as PennyLane wants it: without axes that are not there, and diagonal in N by a broadcast parameter."""
    derivative = derivative[:, 0] if derivative.shape[1] == 1 else derivative
    if batch is None:
        return np.array(derivative[0])
    if parameter >= len(batched) or not batched[parameter]:
        return np.array(derivative)
    diagonal = np.zeros((*derivative.shape, batch))
    for row in range(batch):
        diagonal[row, ..., row] = derivative[row]
    return diagonal


def _several(group: Group, i: int, table: np.ndarray, dtype: torch.dtype) -> tuple[np.ndarray, ...]:
    """The products of C cotangents (C, 1, M) of one unbroadcast tape, each parameter's of shape (C,)."""
    values = group.values()[i : i + 1, group.structure.angle_places]
    angles, _ = blocks(np.repeat(values, len(table), axis=0), None, dtype)
    gradient = Linearization.of(group.structure.executable(None), angles).pullback(table[:, 0]).rows.numpy()
    places = [_angle_of(group, parameter) for parameter in _trainable(group, i)]
    return tuple(np.zeros(len(table)) if place is None else gradient[:, place].copy() for place in places)


def _table(group: Group, i: int, cotangent: Any) -> np.ndarray:
    """One tape's cotangents as (C, n, M), C = 1 unless there are several."""
    assert group.structure.measurements is not None, "the adjoint needs values of a circuit"
    measurements, rows = group.structure.measurements, group.readings[i].n_rows
    parts = [cotangent] if len(measurements) == 1 and not isinstance(cotangent, tuple | list) else list(cotangent)
    if len(measurements) == 1 and len(parts) != 1:
        parts = [np.asarray(cotangent)]
    columns = []
    for part, measurement in zip(parts, measurements, strict=True):
        array = np.asarray(part, dtype=np.float64)
        m, n_own = measurement.n_outputs, (group.readings[i].batch is not None) + (measurement.n_outputs > 1)
        if array.ndim == 0:  # frameworks write 0 for results that nothing depends on
            array = np.broadcast_to(array, (rows, m))
        several = array.shape[0] if array.ndim > n_own and array.size != rows * m else 1
        columns.append(array.reshape(several, rows, m))
    count = max(len(column) for column in columns)
    return np.concatenate([np.broadcast_to(column, (count, *column.shape[1:])) for column in columns], axis=2)


def _trainable(group: Group, i: int) -> list[int]:
    tape: QuantumScript = group.tapes[i]
    return list(tape.trainable_params)


def _angle_of(group: Group, parameter: int) -> int | None:
    """The number of the angle that a tape's parameter is; None for a global phase or a parameter of an observable."""
    place = int(np.searchsorted(group.structure.angle_places, parameter))
    places = group.structure.angle_places
    return place if place < len(places) and places[place] == parameter else None


def _of_parameter(
    group: Group, i: int, rows: slice, parameter: int, gradient: Angles, shared: tuple[bool, ...] | None
) -> np.ndarray:
    place = _angle_of(group, parameter)
    reading = group.readings[i]
    if place is None:
        broadcast = parameter < len(reading.batched) and reading.batched[parameter]
        return np.zeros(reading.n_rows if broadcast else ())
    if shared is None:
        column = gradient.rows.numpy()[rows, place]
        return column.copy() if reading.batched[parameter] else np.array(column.sum())
    before = sum(alike == shared[place] for alike in shared[:place])
    if shared[place]:
        return np.array(gradient.shared.numpy()[before])
    return gradient.rows.numpy()[rows, before].copy()
